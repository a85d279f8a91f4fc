"""What learns: A2C and PPO, the runs they train, and the agents that come out."""

import os

# OpenMP's threads spin while they wait for work. Beside emulator threads, or another process, that
# takes the cores away from whoever has work: a training run was seen to become four times slower.
# It has to be said before torch is imported; a user's own setting stands.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
