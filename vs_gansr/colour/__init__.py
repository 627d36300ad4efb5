"""Numbers of colour: what frame tags mean and how conversions follow from them. Knows no video and no networks."""
