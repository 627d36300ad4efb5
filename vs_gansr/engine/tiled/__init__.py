"""Run networks over pictures of any size, in tiles where need be, whatever fails."""
