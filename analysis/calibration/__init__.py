"""Prior and measured rates as joint draws, tables and files."""
