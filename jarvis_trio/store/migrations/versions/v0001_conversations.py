"""Sessions and their messages."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

bytewise = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "sessions",
        sa.Column("key", number, primary_key=True),
        sa.Column("owner", bytewise, nullable=False),
        sa.Column("id", bytewise, nullable=False),
        sa.Column("title", bytewise, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
        sa.Column("last_seq", number, nullable=False),
        sa.Column("last_stream", bytewise, nullable=False),
    )
    latest = sa.text("updated_at DESC")
    op.create_index("sessions_by_id", "sessions", ["id", "owner"], unique=True)
    op.create_index("sessions_by_time", "sessions", [latest, "owner", "id"])
    op.create_index("sessions_by_owner", "sessions", ["owner", latest, "id"])
    op.create_table(
        "messages",
        sa.Column(
            "session",
            number,
            sa.ForeignKey("sessions.key", name="messages_session", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("seq", number, primary_key=True, autoincrement=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("stream_id", bytewise, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("images", sa.Text, nullable=False),
        sa.Column("tool_calls", sa.Text, nullable=False),
        sa.Column("tool_call_id", sa.Text),
        sa.Column("name", sa.Text),
        sa.Column("reasoning", sa.Text, nullable=False),
        sa.Column("finish_reason", sa.Text),
        sa.Column("usage", sa.Text),
        sa.Column("cause", sa.Text),
    )
    op.create_index("messages_by_stream", "messages", ["session", "stream_id"])
