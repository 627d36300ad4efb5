"""`gansr status`: show the progress of films."""
