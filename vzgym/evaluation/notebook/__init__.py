"""HTML of records and reports for notebooks: self-contained, without scripts, readable on light and dark pages."""
