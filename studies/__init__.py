"""The paper's supervised experiments, with the same layer as the agents."""
