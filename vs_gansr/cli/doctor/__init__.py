"""`gansr doctor`: find faults of the installation and name their remedies."""
