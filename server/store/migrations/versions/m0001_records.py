"""Records: sessions, turns, tool calls, usage, daily costs, recordings; erasures; how far journals were applied."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TOKENS = (
    "input_text",
    "input_audio",
    "input_image",
    "cached_text",
    "cached_audio",
    "cached_image",
    "output_text",
    "output_audio",
    "audio_ms",
)


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False, server_default="") for name in names]


def _tokens() -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=False, server_default="0") for name in _TOKENS]


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "sessions",
        sa.Column("session_id", sa.String, primary_key=True),
        sa.Column("began_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("end_reason", sa.Text),
        *_texts("detail", "kb_id", "principal_id", "principal_name", "person", "endpoint", "model", "journal"),
    )
    op.create_index("ix_sessions_began", "sessions", ["began_at", "session_id"])
    op.create_index("ix_sessions_kb", "sessions", ["kb_id", "began_at", "session_id"])
    op.create_index("ix_sessions_principal", "sessions", ["principal_id", "began_at", "session_id"])
    op.create_index("ix_sessions_person", "sessions", ["person", "began_at", "session_id"])
    op.create_index("ix_sessions_end", "sessions", ["end_reason", "began_at", "session_id"])
    op.create_table(
        "turns",
        sa.Column("session_id", sa.String, primary_key=True),
        sa.Column("item_id", sa.String, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        *_texts("role", "text"),
        sa.Column("heard_text", sa.Text),
        sa.Column("heard_ms", sa.BigInteger),
        sa.Column("sent_ms", sa.BigInteger),
        sa.Column("stopped_by", sa.Text),
        sa.Column("response_id", sa.Text),
        sa.Column("status", sa.Text),
        sa.Column("asked_at", sa.BigInteger),
        sa.Column("search_began_ms", sa.Float),
        sa.Column("search_ended_ms", sa.Float),
        sa.Column("first_token_ms", sa.Float),
        sa.Column("first_audio_ms", sa.Float),
        sa.Column("ended_ms", sa.Float),
    )
    op.create_table(
        "tool_calls",
        sa.Column("session_id", sa.String, primary_key=True),
        sa.Column("call_id", sa.String, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        *_texts("name"),
        sa.Column("arguments", sa.Text),
        sa.Column("sources", sa.Text),
        *_texts("status"),
        sa.Column("duration_ms", sa.Float),
        sa.Column("response_id", sa.Text),
    )
    op.create_table(
        "usage_lines",
        sa.Column("session_id", sa.String, primary_key=True),
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        *_texts("day", "what", "status", "principal_id", "kb_id", "model", "deployment"),
        *_tokens(),
        sa.Column("cost", sa.BigInteger, nullable=False),
        *_texts("prices"),
        sa.Column("is_estimate", sa.Boolean, nullable=False),
    )
    op.create_index("ix_usage_lines_at", "usage_lines", ["at", "session_id", "id"])
    op.create_table(
        "daily_costs",
        *(
            sa.Column(name, sa.String, primary_key=True)
            for name in ("day", "principal_id", "kb_id", "model", "deployment")
        ),
        sa.Column("lines", sa.BigInteger, nullable=False),
        *_tokens(),
        sa.Column("cost", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "recordings",
        sa.Column("session_id", sa.String, primary_key=True),
        sa.Column("side", sa.String, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        *_texts("file"),
        sa.Column("duration_ms", sa.BigInteger, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("dropped_ms", sa.BigInteger, nullable=False),
        *_texts("note"),
    )
    op.create_table(
        "erased_sessions",
        sa.Column("session_id", sa.String, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("hide_principal", sa.Boolean, nullable=False),
    )
    op.create_table(
        "journal_positions",
        sa.Column("epoch", sa.String, primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """There is nothing before it."""
    for table in (
        "journal_positions",
        "erased_sessions",
        "recordings",
        "daily_costs",
        "usage_lines",
        "tool_calls",
        "turns",
        "sessions",
    ):
        op.drop_table(table)
