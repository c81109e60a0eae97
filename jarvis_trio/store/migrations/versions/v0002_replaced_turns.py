"""What a turn stands for."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

bytewise = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Let turns name the one that they replace."""
    op.add_column("messages", sa.Column("replaces", bytewise))
    op.create_index(
        "messages_by_replaced",
        "messages",
        ["session", "replaces"],
        sqlite_where=sa.text("replaces IS NOT NULL"),
        postgresql_where=sa.text("replaces IS NOT NULL"),
    )
