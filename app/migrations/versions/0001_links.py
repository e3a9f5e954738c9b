"""The links, and what the schema says about which releases it supports."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "links",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("slug", sa.String(64), nullable=False, unique=True),
        sa.Column("url", sa.String(2048), nullable=False),
        sa.Column("hits", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
    )
    op.create_index("ix_links_expires_at", "links", ["expires_at"], postgresql_where=sa.text("expires_at IS NOT NULL"))
    support = op.create_table("schema_support", sa.Column("revision", sa.String(32), nullable=False))
    op.bulk_insert(support, [{"revision": "0001"}])


def downgrade() -> None:
    op.drop_table("schema_support")
    op.drop_table("links")
