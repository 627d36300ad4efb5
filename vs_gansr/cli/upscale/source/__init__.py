"""What a source holds, and the clip it opens as."""
