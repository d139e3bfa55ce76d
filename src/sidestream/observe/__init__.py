"""What a gateway tells about itself: logs and metrics."""
