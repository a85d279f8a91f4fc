"""The comparison report: figures, tables, and one page with all of them."""
