"""Frames to rows of tables, tables to figures."""
