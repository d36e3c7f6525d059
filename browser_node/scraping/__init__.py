"""Running one unit: which pages to visit, visiting them, and what they give."""
