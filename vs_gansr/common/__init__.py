"""What every room may use and what knows nothing of networks, pictures or frames."""
