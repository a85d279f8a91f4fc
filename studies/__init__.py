"""The paper's supervised systems, on the layer the agents use."""
