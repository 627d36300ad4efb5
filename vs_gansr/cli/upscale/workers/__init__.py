"""The processes that render chunks, and who hands chunks out."""
