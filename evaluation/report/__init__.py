"""The report that people look at: figures, tables and one page that holds them all."""
