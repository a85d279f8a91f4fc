"""Learning: A2C and PPO, the runs that they train, and the trained agents."""

import os

# OpenMP's threads spin while they wait for work, which takes the cores away from emulator threads
# and other processes: a training run was seen to become four times slower. The variable must be set
# before torch is imported; a user's own setting takes precedence.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
