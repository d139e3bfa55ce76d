"""The commands beside the gateway: an endpoint, a scripted phone, the demonstration and its report."""
