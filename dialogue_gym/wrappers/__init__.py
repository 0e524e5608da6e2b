"""Views of an environment for other libraries."""
