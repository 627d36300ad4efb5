"""What one run is asked to do."""
