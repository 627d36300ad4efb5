"""`gansr status`: where films in chunks stand."""
