"""The store's schema over time, in Alembic's layout."""
