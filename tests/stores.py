"""Stores as somebody edits them."""

import sqlite3
from contextlib import closing

from experiments.shared.store import sealed


def edit(folder, *statements, name="sweep.sqlite"):
    """Change a store as somebody does who knows of the checksums.

    Args:
        statements: of SQL; or one with its values.
    """
    with closing(sqlite3.connect(folder / name)) as connection, connection:
        for statement in statements:
            connection.execute(*([statement] if isinstance(statement, str) else statement))
        connection.create_function("sealed", -1, lambda *row: sealed(row)[-1])
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            columns = [column[1] for column in connection.execute(f"PRAGMA table_info({table})")]
            if "checksum" in columns:
                values = ", ".join(f'"{column}"' for column in columns if column not in ("checksum", "more"))
                connection.execute(f"UPDATE {table} SET checksum = sealed({values})")
