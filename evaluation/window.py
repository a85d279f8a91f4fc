"""A window on the screen that shows pictures and reports pressed keys."""

from __future__ import annotations

import os
import sys
from types import TracebackType

from cli.errors import UserError
from files.video import Frame

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # pygame would print a banner to stdout
INSTEAD = "record the game with `python evaluate.py record RUN`"
try:
    import pygame
except ImportError as error:
    raise UserError(f"a window needs pygame: `pip install pygame-ce`, or {INSTEAD}") from error

CLOSED = "closed"
# Share of the desktop that a window may take, leaving room for bars and borders.
ROOM = 0.92
UNSEEN = ("dummy", "offscreen")
# SDL on Linux needs one of these to open a window.
SCREENS = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")


class Window:
    """A window that opens with the first picture, in its size or as large as the desktop allows.

    Args:
        title: title of the window.

    Raises:
        UserError: there is no display.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._frame: Frame | None = None

    def __enter__(self) -> Window:
        if sys.platform == "linux" and not any(map(os.environ.get, SCREENS)):
            # SDL would print a message of its own and draw into memory.
            raise UserError(f"there is no display for a window: {INSTEAD}")
        try:
            pygame.display.init()
            driver = pygame.display.get_driver()
            if driver in UNSEEN:
                raise pygame.error(f"SDL_VIDEODRIVER is {driver}")
        except pygame.error as error:
            pygame.display.quit()
            raise UserError(f"there is no display for a window ({error}): {INSTEAD}") from error
        pygame.display.set_caption(self._title)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pygame.display.quit()

    def show(self, frame: Frame) -> None:
        """Show a picture (H, W, 3), as large as the window allows."""
        height, width, _ = frame.shape
        self._frame = frame
        window = pygame.display.get_surface()
        if window is None:
            window = pygame.display.set_mode(_first_size(width, height), pygame.RESIZABLE)
        picture = pygame.image.frombuffer(frame.tobytes(), (width, height), "RGB")
        room = window.get_size()
        if room != (width, height):
            window.fill("black")
            scale = min(room[0] / width, room[1] / height)
            size = max(1, int(width * scale)), max(1, int(height * scale))
            picture = pygame.transform.smoothscale(picture, size)
        window.blit(picture, picture.get_rect(center=window.get_rect().center))
        pygame.display.flip()

    def pressed_keys(self) -> list[str]:
        """Names of the keys pressed since the last call, `CLOSED` if the window was closed.

        Also redraws the picture if the desktop asks for it.
        """
        pressed: list[str] = []
        is_stale = False
        for event in pygame.event.get():
            if event.type == pygame.KEYDOWN:
                pressed.append(pygame.key.name(event.key))
            elif event.type == pygame.QUIT:
                pressed.append(CLOSED)
            elif event.type in (pygame.WINDOWEXPOSED, pygame.WINDOWSIZECHANGED):
                is_stale = True
        if is_stale and self._frame is not None:
            self.show(self._frame)
        return pressed


def _first_size(width: int, height: int) -> tuple[int, int]:
    desktop = pygame.display.get_desktop_sizes()[0]
    scale = min(1.0, ROOM * desktop[0] / width, ROOM * desktop[1] / height)
    return int(width * scale), int(height * scale)
