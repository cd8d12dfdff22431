"""The first schema.

Made by scripts/schema (make schema) from the declarations of the tables.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "e89101a44"
down_revision = None
branch_labels = ("expand",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "address_groups",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("addresses", sa.JSON(), nullable=False),
        sa.Column("description", sa.String(length=1024), server_default="", nullable=False),
        sa.Column("tags", sa.JSON(), server_default="[]", nullable=False),
        sa.Column("revision_number", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.String(length=20), nullable=False),
        sa.Column("updated_at", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_address_groups")),
    )
    op.create_index(op.f("ix_address_groups_project_id"), "address_groups", ["project_id"], unique=False)
    op.create_table(
        "address_scopes",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("ip_version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_address_scopes")),
    )
    op.create_index(op.f("ix_address_scopes_project_id"), "address_scopes", ["project_id"], unique=False)
    op.create_table(
        "agents",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("agent_type", sa.String(length=255), nullable=False),
        sa.Column("binary", sa.String(length=255), nullable=False),
        sa.Column("topic", sa.String(length=255), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("availability_zone", sa.String(length=255), nullable=True),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=True),
        sa.Column("configurations", sa.JSON(), nullable=False),
        sa.Column("resources_synced", sa.Boolean(), nullable=True),
        sa.Column("created_at", sa.String(length=26), nullable=False),
        sa.Column("started_at", sa.String(length=26), nullable=False),
        sa.Column("heartbeat_timestamp", sa.String(length=26), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agents")),
        sa.UniqueConstraint("agent_type", "host", name=op.f("uq_agents_agent_type_host")),
    )
    op.create_table(
        "change_numbers",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("base", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_change_numbers")),
    )
    op.create_table(
        "changes",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("operation", sa.String(length=8), nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("at", sa.String(length=20), nullable=False),
        sa.Column("facts", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_changes")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_changes_at", "changes", ["at"], unique=False)
    op.create_table(
        "cursors",
        sa.Column("consumer", sa.String(length=64), nullable=False),
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("consumer", name=op.f("pk_cursors")),
    )
    op.create_table(
        "flavors",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=1024), nullable=True),
        sa.Column("service_type", sa.String(length=36), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_flavors")),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("holder", sa.String(length=255), nullable=False),
        sa.Column("term", sa.Integer(), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.create_table(
        "metering_labels",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=1024), nullable=False),
        sa.Column("shared", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_metering_labels")),
    )
    op.create_index(op.f("ix_metering_labels_project_id"), "metering_labels", ["project_id"], unique=False)
    op.create_table(
        "network_segment_ranges",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=True),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("default", sa.Boolean(), nullable=False),
        sa.Column("shared", sa.Boolean(), nullable=False),
        sa.Column("network_type", sa.String(length=32), nullable=False),
        sa.Column("physical_network", sa.String(length=64), nullable=False),
        sa.Column("minimum", sa.BigInteger(), nullable=False),
        sa.Column("maximum", sa.BigInteger(), nullable=False),
        sa.Column("description", sa.String(length=1024), server_default="", nullable=False),
        sa.Column("tags", sa.JSON(), server_default="[]", nullable=False),
        sa.Column("revision_number", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.String(length=20), nullable=False),
        sa.Column("updated_at", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_network_segment_ranges")),
    )
    op.create_index(
        op.f("ix_network_segment_ranges_project_id"), "network_segment_ranges", ["project_id"], unique=False
    )
    op.create_table(
        "processes",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("schema", sa.String(length=255), nullable=False),
        sa.Column("seen", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_processes")),
    )
    op.create_table(
        "qos_policies",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column("description", sa.String(length=1024), server_default="", nullable=False),
        sa.Column("tags", sa.JSON(), server_default="[]", nullable=False),
        sa.Column("revision_number", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.String(length=20), nullable=False),
        sa.Column("updated_at", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_qos_policies")),
    )
    op.create_index(op.f("ix_qos_policies_project_id"), "qos_policies", ["project_id"], unique=False)
    op.create_index(
        "uq_qos_policies_default",
        "qos_policies",
        ["project_id"],
        unique=True,
        sqlite_where=sa.text("is_default"),
        postgresql_where=sa.text("is_default"),
    )
    op.create_table(
        "quota_usage",
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("resource", sa.String(length=64), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.Column("hard_limit", sa.Integer(), nullable=True),
        sa.CheckConstraint("used >= 0", name=op.f("ck_quota_usage_used")),
        sa.PrimaryKeyConstraint("project_id", "resource", name=op.f("pk_quota_usage")),
    )
    op.create_table(
        "rbac_entries",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("object_type", sa.String(length=64), nullable=False),
        sa.Column("object_id", sa.String(length=36), nullable=False),
        sa.Column("target_tenant", sa.String(length=255), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rbac_entries")),
        sa.UniqueConstraint(
            "object_type",
            "object_id",
            "target_tenant",
            "action",
            name=op.f("uq_rbac_entries_object_type_object_id_target_tenant_action"),
        ),
    )
    op.create_index("ix_rbac_entries_object", "rbac_entries", ["object_id", "action", "target_tenant"], unique=False)
    op.create_index(op.f("ix_rbac_entries_project_id"), "rbac_entries", ["project_id"], unique=False)
    op.create_table(
        "repetitions",
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("user_id", sa.String(length=255), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "user_id", "key", name=op.f("pk_repetitions")),
    )
    op.create_index("ix_repetitions_at", "repetitions", ["at"], unique=False)
    op.create_table(
        "security_groups",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("stateful", sa.Boolean(), nullable=False),
        sa.Column("description", sa.String(length=1024), server_default="", nullable=False),
        sa.Column("tags", sa.JSON(), server_default="[]", nullable=False),
        sa.Column("revision_number", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.String(length=20), nullable=False),
        sa.Column("updated_at", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_security_groups")),
        sa.UniqueConstraint("id", "stateful", name=op.f("uq_security_groups_id_stateful")),
    )
    op.create_index("ix_security_groups_name", "security_groups", ["name"], unique=False)
    op.create_index(op.f("ix_security_groups_project_id"), "security_groups", ["project_id"], unique=False)
    op.create_table(
        "security_groups_default_statefulness",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=True),
        sa.Column("stateful", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_security_groups_default_statefulness")),
    )
    op.create_index(
        "uq_security_groups_default_statefulness_project",
        "security_groups_default_statefulness",
        [sa.literal_column("coalesce(project_id, '')")],
        unique=True,
    )
    op.create_table(
        "service_profiles",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("description", sa.String(length=1024), nullable=True),
        sa.Column("driver", sa.String(length=1024), nullable=False),
        sa.Column("metainfo", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_profiles")),
    )
    op.create_table(
        "default_security_group_rules",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("direction", sa.String(length=7), nullable=False),
        sa.Column("ethertype", sa.String(length=4), nullable=False),
        sa.Column("protocol", sa.String(length=16), nullable=True),
        sa.Column("port_range_min", sa.Integer(), nullable=True),
        sa.Column("port_range_max", sa.Integer(), nullable=True),
        sa.Column("remote_ip_prefix", sa.String(length=64), nullable=True),
        sa.Column("remote_group_id", sa.String(length=36), nullable=True),
        sa.Column("remote_address_group_id", sa.String(length=36), nullable=True),
        sa.Column("used_in_default_sg", sa.Boolean(), nullable=False),
        sa.Column("used_in_non_default_sg", sa.Boolean(), nullable=False),
        sa.Column("description", sa.String(length=1024), server_default="", nullable=False),
        sa.Column("tags", sa.JSON(), server_default="[]", nullable=False),
        sa.Column("revision_number", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.String(length=20), nullable=False),
        sa.Column("updated_at", sa.String(length=20), nullable=False),
        sa.ForeignKeyConstraint(
            ["remote_address_group_id"],
            ["address_groups.id"],
            name=op.f("fk_default_security_group_rules_remote_address_group_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_default_security_group_rules")),
    )
    op.create_table(
        "default_security_groups",
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("security_group_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(
            ["security_group_id"],
            ["security_groups.id"],
            name=op.f("fk_default_security_groups_security_group_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_default_security_groups")),
    )
    op.create_index(
        op.f("ix_default_security_groups_security_group_id"),
        "default_security_groups",
        ["security_group_id"],
        unique=False,
    )
    op.create_table(
        "flavor_service_profiles",
        sa.Column("flavor_id", sa.String(length=36), nullable=False),
        sa.Column("service_profile_id", sa.String(length=36), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["flavor_id"], ["flavors.id"], name=op.f("fk_flavor_service_profiles_flavor_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["service_profile_id"], ["service_profiles.id"], name=op.f("fk_flavor_service_profiles_service_profile_id")
        ),
        sa.PrimaryKeyConstraint("flavor_id", "service_profile_id", name=op.f("pk_flavor_service_profiles")),
    )
    op.create_index(
        op.f("ix_flavor_service_profiles_service_profile_id"),
        "flavor_service_profiles",
        ["service_profile_id"],
        unique=False,
    )
    op.create_table(
        "metering_label_rules",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("metering_label_id", sa.String(length=36), nullable=False),
        sa.Column("direction", sa.String(length=7), nullable=False),
        sa.Column("excluded", sa.Boolean(), nullable=False),
        sa.Column("remote_ip_prefix", sa.String(length=64), nullable=True),
        sa.Column("source_ip_prefix", sa.String(length=64), nullable=True),
        sa.Column("destination_ip_prefix", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(
            ["metering_label_id"],
            ["metering_labels.id"],
            name=op.f("fk_metering_label_rules_metering_label_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_metering_label_rules")),
    )
    op.create_index(
        op.f("ix_metering_label_rules_metering_label_id"), "metering_label_rules", ["metering_label_id"], unique=False
    )
    op.create_index(op.f("ix_metering_label_rules_project_id"), "metering_label_rules", ["project_id"], unique=False)
    op.create_table(
        "networks",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("router_external", sa.Boolean(), nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column("mtu", sa.Integer(), nullable=False),
        sa.Column("port_security_enabled", sa.Boolean(), nullable=False),
        sa.Column("dns_domain", sa.String(length=255), nullable=False),
        sa.Column("pvlan", sa.Boolean(), nullable=False),
        sa.Column("vlan_transparent", sa.Boolean(), nullable=True),
        sa.Column("qinq", sa.Boolean(), nullable=True),
        sa.Column("availability_zone_hints", sa.JSON(), nullable=False),
        sa.Column("qos_policy_id", sa.String(length=36), nullable=True),
        sa.Column("description", sa.String(length=1024), server_default="", nullable=False),
        sa.Column("tags", sa.JSON(), server_default="[]", nullable=False),
        sa.Column("revision_number", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.String(length=20), nullable=False),
        sa.Column("updated_at", sa.String(length=20), nullable=False),
        sa.ForeignKeyConstraint(["qos_policy_id"], ["qos_policies.id"], name=op.f("fk_networks_qos_policy_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_networks")),
    )
    op.create_index("ix_networks_name", "networks", ["name"], unique=False)
    op.create_index(op.f("ix_networks_project_id"), "networks", ["project_id"], unique=False)
    op.create_index(op.f("ix_networks_qos_policy_id"), "networks", ["qos_policy_id"], unique=False)
    op.create_index("ix_networks_router_external", "networks", ["router_external"], unique=False)
    op.create_index(
        "uq_networks_default",
        "networks",
        ["is_default"],
        unique=True,
        sqlite_where=sa.text("is_default"),
        postgresql_where=sa.text("is_default"),
    )
    op.create_table(
        "qos_bandwidth_limit_rules",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("policy_id", sa.String(length=36), nullable=False),
        sa.Column("max_kbps", sa.Integer(), nullable=False),
        sa.Column("max_burst_kbps", sa.Integer(), nullable=False),
        sa.Column("direction", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(
            ["policy_id"], ["qos_policies.id"], name=op.f("fk_qos_bandwidth_limit_rules_policy_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_qos_bandwidth_limit_rules")),
        sa.UniqueConstraint("policy_id", "direction", name=op.f("uq_qos_bandwidth_limit_rules_policy_id_direction")),
    )
    op.create_table(
        "qos_dscp_marking_rules",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("policy_id", sa.String(length=36), nullable=False),
        sa.Column("dscp_mark", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["policy_id"], ["qos_policies.id"], name=op.f("fk_qos_dscp_marking_rules_policy_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_qos_dscp_marking_rules")),
        sa.UniqueConstraint("policy_id", name=op.f("uq_qos_dscp_marking_rules_policy_id")),
    )
    op.create_table(
        "qos_minimum_bandwidth_rules",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("policy_id", sa.String(length=36), nullable=False),
        sa.Column("min_kbps", sa.Integer(), nullable=False),
        sa.Column("direction", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(
            ["policy_id"],
            ["qos_policies.id"],
            name=op.f("fk_qos_minimum_bandwidth_rules_policy_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_qos_minimum_bandwidth_rules")),
        sa.UniqueConstraint("policy_id", "direction", name=op.f("uq_qos_minimum_bandwidth_rules_policy_id_direction")),
    )
    op.create_table(
        "qos_minimum_packet_rate_rules",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("policy_id", sa.String(length=36), nullable=False),
        sa.Column("min_kpps", sa.Integer(), nullable=False),
        sa.Column("direction", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(
            ["policy_id"],
            ["qos_policies.id"],
            name=op.f("fk_qos_minimum_packet_rate_rules_policy_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_qos_minimum_packet_rate_rules")),
        sa.UniqueConstraint(
            "policy_id", "direction", name=op.f("uq_qos_minimum_packet_rate_rules_policy_id_direction")
        ),
    )
    op.create_table(
        "qos_packet_rate_limit_rules",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("policy_id", sa.String(length=36), nullable=False),
        sa.Column("max_kpps", sa.Integer(), nullable=False),
        sa.Column("max_burst_kpps", sa.Integer(), nullable=False),
        sa.Column("direction", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(
            ["policy_id"],
            ["qos_policies.id"],
            name=op.f("fk_qos_packet_rate_limit_rules_policy_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_qos_packet_rate_limit_rules")),
        sa.UniqueConstraint("policy_id", "direction", name=op.f("uq_qos_packet_rate_limit_rules_policy_id_direction")),
    )
    op.create_table(
        "security_group_rules",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("security_group_id", sa.String(length=36), nullable=False),
        sa.Column("direction", sa.String(length=7), nullable=False),
        sa.Column("ethertype", sa.String(length=4), nullable=False),
        sa.Column("protocol", sa.String(length=16), nullable=True),
        sa.Column("port_range_min", sa.Integer(), nullable=True),
        sa.Column("port_range_max", sa.Integer(), nullable=True),
        sa.Column("remote_ip_prefix", sa.String(length=64), nullable=True),
        sa.Column("normalized_cidr", sa.String(length=64), nullable=True),
        sa.Column("remote_group_id", sa.String(length=36), nullable=True),
        sa.Column("remote_address_group_id", sa.String(length=36), nullable=True),
        sa.Column("signature", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=1024), server_default="", nullable=False),
        sa.Column("tags", sa.JSON(), server_default="[]", nullable=False),
        sa.Column("revision_number", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.String(length=20), nullable=False),
        sa.Column("updated_at", sa.String(length=20), nullable=False),
        sa.ForeignKeyConstraint(
            ["remote_address_group_id"],
            ["address_groups.id"],
            name=op.f("fk_security_group_rules_remote_address_group_id"),
        ),
        sa.ForeignKeyConstraint(
            ["remote_group_id"],
            ["security_groups.id"],
            name=op.f("fk_security_group_rules_remote_group_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["security_group_id"],
            ["security_groups.id"],
            name=op.f("fk_security_group_rules_security_group_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_security_group_rules")),
        sa.UniqueConstraint(
            "security_group_id", "signature", name=op.f("uq_security_group_rules_security_group_id_signature")
        ),
    )
    op.create_index(op.f("ix_security_group_rules_project_id"), "security_group_rules", ["project_id"], unique=False)
    op.create_index(
        op.f("ix_security_group_rules_remote_address_group_id"),
        "security_group_rules",
        ["remote_address_group_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_security_group_rules_remote_group_id"), "security_group_rules", ["remote_group_id"], unique=False
    )
    op.create_table(
        "subnetpools",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("ip_version", sa.Integer(), nullable=False),
        sa.Column("prefixes", sa.JSON(), nullable=False),
        sa.Column("min_prefixlen", sa.Integer(), nullable=False),
        sa.Column("max_prefixlen", sa.Integer(), nullable=False),
        sa.Column("default_prefixlen", sa.Integer(), nullable=False),
        sa.Column("default_quota", sa.Integer(), nullable=True),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column("address_scope_id", sa.String(length=36), nullable=True),
        sa.Column("description", sa.String(length=1024), server_default="", nullable=False),
        sa.Column("tags", sa.JSON(), server_default="[]", nullable=False),
        sa.Column("revision_number", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.String(length=20), nullable=False),
        sa.Column("updated_at", sa.String(length=20), nullable=False),
        sa.ForeignKeyConstraint(
            ["address_scope_id"], ["address_scopes.id"], name=op.f("fk_subnetpools_address_scope_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subnetpools")),
    )
    op.create_index(op.f("ix_subnetpools_address_scope_id"), "subnetpools", ["address_scope_id"], unique=False)
    op.create_index(op.f("ix_subnetpools_project_id"), "subnetpools", ["project_id"], unique=False)
    op.create_index(
        "uq_subnetpools_default",
        "subnetpools",
        ["ip_version"],
        unique=True,
        sqlite_where=sa.text("is_default"),
        postgresql_where=sa.text("is_default"),
    )
    op.create_table(
        "ha_networks",
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("network_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(
            ["network_id"], ["networks.id"], name=op.f("fk_ha_networks_network_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_ha_networks")),
        sa.UniqueConstraint("network_id", name=op.f("uq_ha_networks_network_id")),
    )
    op.create_table(
        "network_dhcp_agents",
        sa.Column("network_id", sa.String(length=36), nullable=False),
        sa.Column("agent_id", sa.String(length=36), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_network_dhcp_agents_agent_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["network_id"], ["networks.id"], name=op.f("fk_network_dhcp_agents_network_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("network_id", "agent_id", name=op.f("pk_network_dhcp_agents")),
        sa.UniqueConstraint("network_id", "slot", name=op.f("uq_network_dhcp_agents_network_id_slot")),
    )
    op.create_index(op.f("ix_network_dhcp_agents_agent_id"), "network_dhcp_agents", ["agent_id"], unique=False)
    op.create_table(
        "network_segments",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("network_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("network_type", sa.String(length=32), nullable=False),
        sa.Column("physical_network", sa.String(length=64), nullable=True),
        sa.Column("segmentation_id", sa.BigInteger(), nullable=True),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("slot", sa.String(length=128), nullable=True),
        sa.Column("is_dynamic", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("description", sa.String(length=1024), server_default="", nullable=False),
        sa.Column("revision_number", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.String(length=20), nullable=False),
        sa.Column("updated_at", sa.String(length=20), nullable=False),
        sa.ForeignKeyConstraint(
            ["network_id"], ["networks.id"], name=op.f("fk_network_segments_network_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_network_segments")),
        sa.UniqueConstraint("slot", name=op.f("uq_network_segments_slot")),
    )
    op.create_index(op.f("ix_network_segments_network_id"), "network_segments", ["network_id"], unique=False)
    op.create_table(
        "ports",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("network_id", sa.String(length=36), nullable=False),
        sa.Column("mac_address", sa.String(length=32), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("status_reason", sa.String(length=255), server_default="", nullable=False),
        sa.Column("device_id", sa.String(length=255), nullable=False),
        sa.Column("device_owner", sa.String(length=255), nullable=False),
        sa.Column("ip_allocation", sa.String(length=16), nullable=False),
        sa.Column("port_security_enabled", sa.Boolean(), nullable=False),
        sa.Column("allowed_address_pairs", sa.JSON(), nullable=False),
        sa.Column("extra_dhcp_opts", sa.JSON(), nullable=False),
        sa.Column("dns_name", sa.String(length=255), nullable=False),
        sa.Column("dns_domain", sa.String(length=255), nullable=False),
        sa.Column("dns_published", sa.String(length=255), server_default="", nullable=False),
        sa.Column("binding_host_id", sa.String(length=255), nullable=False),
        sa.Column("binding_vnic_type", sa.String(length=64), nullable=False),
        sa.Column("binding_profile", sa.JSON(), nullable=False),
        sa.Column("binding_vif_type", sa.String(length=64), nullable=False),
        sa.Column("binding_vif_details", sa.JSON(), nullable=False),
        sa.Column("binding_segment_id", sa.String(length=36), nullable=True),
        sa.Column("data_plane_status", sa.String(length=16), nullable=True),
        sa.Column("device_profile", sa.String(length=255), nullable=True),
        sa.Column("hardware_offload_type", sa.String(length=64), nullable=True),
        sa.Column("hints", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("numa_affinity_policy", sa.String(length=16), nullable=True),
        sa.Column("propagate_uplink_status", sa.Boolean(), nullable=False),
        sa.Column("trusted", sa.Boolean(), nullable=True),
        sa.Column("pvlan_type", sa.String(length=16), nullable=True),
        sa.Column("pvlan_community", sa.String(length=255), nullable=True),
        sa.Column("qos_policy_id", sa.String(length=36), nullable=True),
        sa.Column("description", sa.String(length=1024), server_default="", nullable=False),
        sa.Column("tags", sa.JSON(), server_default="[]", nullable=False),
        sa.Column("revision_number", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.String(length=20), nullable=False),
        sa.Column("updated_at", sa.String(length=20), nullable=False),
        sa.ForeignKeyConstraint(["network_id"], ["networks.id"], name=op.f("fk_ports_network_id")),
        sa.ForeignKeyConstraint(["qos_policy_id"], ["qos_policies.id"], name=op.f("fk_ports_qos_policy_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ports")),
        sa.UniqueConstraint("network_id", "mac_address", name=op.f("uq_ports_network_id_mac_address")),
    )
    op.create_index("ix_ports_binding_host_id", "ports", ["binding_host_id"], unique=False)
    op.create_index(op.f("ix_ports_device_id"), "ports", ["device_id"], unique=False)
    op.create_index("ix_ports_network_device_owner", "ports", ["network_id", "device_owner"], unique=False)
    op.create_index(op.f("ix_ports_project_id"), "ports", ["project_id"], unique=False)
    op.create_index(op.f("ix_ports_qos_policy_id"), "ports", ["qos_policy_id"], unique=False)
    op.create_table(
        "inactive_port_bindings",
        sa.Column("port_id", sa.String(length=36), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("vnic_type", sa.String(length=64), nullable=False),
        sa.Column("profile", sa.JSON(), nullable=False),
        sa.Column("vif_type", sa.String(length=64), nullable=False),
        sa.Column("vif_details", sa.JSON(), nullable=False),
        sa.Column("segment_id", sa.String(length=36), nullable=True),
        sa.ForeignKeyConstraint(
            ["port_id"], ["ports.id"], name=op.f("fk_inactive_port_bindings_port_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("port_id", "host", name=op.f("pk_inactive_port_bindings")),
    )
    op.create_table(
        "local_ips",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("local_port_id", sa.String(length=36), nullable=False),
        sa.Column("network_id", sa.String(length=36), nullable=False),
        sa.Column("local_ip_address", sa.String(length=45), nullable=False),
        sa.Column("ip_mode", sa.String(length=16), nullable=False),
        sa.Column("description", sa.String(length=1024), server_default="", nullable=False),
        sa.Column("tags", sa.JSON(), server_default="[]", nullable=False),
        sa.Column("revision_number", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.String(length=20), nullable=False),
        sa.Column("updated_at", sa.String(length=20), nullable=False),
        sa.ForeignKeyConstraint(["local_port_id"], ["ports.id"], name=op.f("fk_local_ips_local_port_id")),
        sa.ForeignKeyConstraint(["network_id"], ["networks.id"], name=op.f("fk_local_ips_network_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_local_ips")),
    )
    op.create_index(op.f("ix_local_ips_local_port_id"), "local_ips", ["local_port_id"], unique=False)
    op.create_index(op.f("ix_local_ips_network_id"), "local_ips", ["network_id"], unique=False)
    op.create_index(op.f("ix_local_ips_project_id"), "local_ips", ["project_id"], unique=False)
    op.create_table(
        "logs",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("resource_type", sa.String(length=36), nullable=False),
        sa.Column("resource_id", sa.String(length=36), nullable=True),
        sa.Column("target_id", sa.String(length=36), nullable=True),
        sa.Column("event", sa.String(length=8), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("description", sa.String(length=1024), server_default="", nullable=False),
        sa.Column("tags", sa.JSON(), server_default="[]", nullable=False),
        sa.Column("revision_number", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.String(length=20), nullable=False),
        sa.Column("updated_at", sa.String(length=20), nullable=False),
        sa.ForeignKeyConstraint(
            ["resource_id"], ["security_groups.id"], name=op.f("fk_logs_resource_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["target_id"], ["ports.id"], name=op.f("fk_logs_target_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_logs")),
    )
    op.create_index(op.f("ix_logs_project_id"), "logs", ["project_id"], unique=False)
    op.create_index(op.f("ix_logs_resource_id"), "logs", ["resource_id"], unique=False)
    op.create_index(op.f("ix_logs_target_id"), "logs", ["target_id"], unique=False)
    op.create_table(
        "routers",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("gw_port_id", sa.String(length=36), nullable=True),
        sa.Column("enable_snat", sa.Boolean(), nullable=False),
        sa.Column("gateway_qos_policy_id", sa.String(length=36), nullable=True),
        sa.Column("distributed", sa.Boolean(), nullable=False),
        sa.Column("ha", sa.Boolean(), nullable=False),
        sa.Column("flavor_id", sa.String(length=36), nullable=True),
        sa.Column("service_type_id", sa.String(length=36), nullable=True),
        sa.Column("routes", sa.JSON(), nullable=False),
        sa.Column("enable_default_route_ecmp", sa.Boolean(), nullable=False),
        sa.Column("enable_default_route_bfd", sa.Boolean(), nullable=False),
        sa.Column("enable_ndp_proxy", sa.Boolean(), nullable=False),
        sa.Column("evpn_vni", sa.Integer(), nullable=True),
        sa.Column("availability_zone_hints", sa.JSON(), nullable=False),
        sa.Column("description", sa.String(length=1024), server_default="", nullable=False),
        sa.Column("tags", sa.JSON(), server_default="[]", nullable=False),
        sa.Column("revision_number", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.String(length=20), nullable=False),
        sa.Column("updated_at", sa.String(length=20), nullable=False),
        sa.ForeignKeyConstraint(["flavor_id"], ["flavors.id"], name=op.f("fk_routers_flavor_id")),
        sa.ForeignKeyConstraint(
            ["gateway_qos_policy_id"], ["qos_policies.id"], name=op.f("fk_routers_gateway_qos_policy_id")
        ),
        sa.ForeignKeyConstraint(["gw_port_id"], ["ports.id"], name=op.f("fk_routers_gw_port_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_routers")),
        sa.UniqueConstraint("evpn_vni", name=op.f("uq_routers_evpn_vni")),
        sa.UniqueConstraint("gw_port_id", name=op.f("uq_routers_gw_port_id")),
    )
    op.create_index(op.f("ix_routers_flavor_id"), "routers", ["flavor_id"], unique=False)
    op.create_index(op.f("ix_routers_gateway_qos_policy_id"), "routers", ["gateway_qos_policy_id"], unique=False)
    op.create_index(op.f("ix_routers_project_id"), "routers", ["project_id"], unique=False)
    op.create_table(
        "security_group_port_bindings",
        sa.Column("port_id", sa.String(length=36), nullable=False),
        sa.Column("security_group_id", sa.String(length=36), nullable=False),
        sa.Column("stateful", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["port_id"], ["ports.id"], name=op.f("fk_security_group_port_bindings_port_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["security_group_id", "stateful"],
            ["security_groups.id", "security_groups.stateful"],
            name=op.f("fk_security_group_port_bindings_security_group_id_stateful"),
        ),
        sa.PrimaryKeyConstraint("port_id", "security_group_id", name=op.f("pk_security_group_port_bindings")),
    )
    op.create_index(
        op.f("ix_security_group_port_bindings_security_group_id"),
        "security_group_port_bindings",
        ["security_group_id"],
        unique=False,
    )
    op.create_table(
        "subnets",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("network_id", sa.String(length=36), nullable=False),
        sa.Column("ip_version", sa.Integer(), nullable=False),
        sa.Column("cidr", sa.String(length=64), nullable=False),
        sa.Column("gateway_ip", sa.String(length=45), nullable=True),
        sa.Column("subnetpool_id", sa.String(length=36), nullable=True),
        sa.Column("enable_dhcp", sa.Boolean(), nullable=False),
        sa.Column("ipv6_ra_mode", sa.String(length=20), nullable=True),
        sa.Column("ipv6_address_mode", sa.String(length=20), nullable=True),
        sa.Column("allocation_pools", sa.JSON(), nullable=False),
        sa.Column("dns_nameservers", sa.JSON(), nullable=False),
        sa.Column("own_routes", sa.JSON(), nullable=False),
        sa.Column("service_types", sa.JSON(), nullable=False),
        sa.Column("dns_publish_fixed_ip", sa.Boolean(), nullable=False),
        sa.Column("segment_id", sa.String(length=36), nullable=True),
        sa.Column("description", sa.String(length=1024), server_default="", nullable=False),
        sa.Column("tags", sa.JSON(), server_default="[]", nullable=False),
        sa.Column("revision_number", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.String(length=20), nullable=False),
        sa.Column("updated_at", sa.String(length=20), nullable=False),
        sa.ForeignKeyConstraint(["network_id"], ["networks.id"], name=op.f("fk_subnets_network_id")),
        sa.ForeignKeyConstraint(["segment_id"], ["network_segments.id"], name=op.f("fk_subnets_segment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subnets")),
    )
    op.create_index(op.f("ix_subnets_network_id"), "subnets", ["network_id"], unique=False)
    op.create_index(op.f("ix_subnets_project_id"), "subnets", ["project_id"], unique=False)
    op.create_index(op.f("ix_subnets_segment_id"), "subnets", ["segment_id"], unique=False)
    op.create_index(op.f("ix_subnets_subnetpool_id"), "subnets", ["subnetpool_id"], unique=False)
    op.create_table(
        "trunks",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("port_id", sa.String(length=36), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("status_reason", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=1024), server_default="", nullable=False),
        sa.Column("tags", sa.JSON(), server_default="[]", nullable=False),
        sa.Column("revision_number", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.String(length=20), nullable=False),
        sa.Column("updated_at", sa.String(length=20), nullable=False),
        sa.ForeignKeyConstraint(["port_id"], ["ports.id"], name=op.f("fk_trunks_port_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trunks")),
        sa.UniqueConstraint("port_id", name=op.f("uq_trunks_port_id")),
    )
    op.create_index(op.f("ix_trunks_project_id"), "trunks", ["project_id"], unique=False)
    op.create_table(
        "auto_allocated_topologies",
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("network_id", sa.String(length=36), nullable=False),
        sa.Column("router_id", sa.String(length=36), nullable=True),
        sa.ForeignKeyConstraint(
            ["network_id"], ["networks.id"], name=op.f("fk_auto_allocated_topologies_network_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["router_id"], ["routers.id"], name=op.f("fk_auto_allocated_topologies_router_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_auto_allocated_topologies")),
    )
    op.create_index(
        op.f("ix_auto_allocated_topologies_network_id"), "auto_allocated_topologies", ["network_id"], unique=False
    )
    op.create_index(
        op.f("ix_auto_allocated_topologies_router_id"), "auto_allocated_topologies", ["router_id"], unique=False
    )
    op.create_table(
        "conntrack_helpers",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("router_id", sa.String(length=36), nullable=False),
        sa.Column("protocol", sa.String(length=16), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("helper", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["router_id"], ["routers.id"], name=op.f("fk_conntrack_helpers_router_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conntrack_helpers")),
        sa.UniqueConstraint(
            "router_id", "protocol", "port", "helper", name=op.f("uq_conntrack_helpers_router_id_protocol_port_helper")
        ),
    )
    op.create_index(op.f("ix_conntrack_helpers_project_id"), "conntrack_helpers", ["project_id"], unique=False)
    op.create_table(
        "floatingips",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("floating_network_id", sa.String(length=36), nullable=False),
        sa.Column("floating_ip_address", sa.String(length=45), nullable=False),
        sa.Column("floating_port_id", sa.String(length=36), nullable=False),
        sa.Column("port_id", sa.String(length=36), nullable=True),
        sa.Column("fixed_ip_address", sa.String(length=45), nullable=True),
        sa.Column("router_id", sa.String(length=36), nullable=True),
        sa.Column("gateway_port_id", sa.String(length=36), nullable=True),
        sa.Column("interface_port_id", sa.String(length=36), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("status_reason", sa.String(length=255), server_default="", nullable=False),
        sa.Column("dns_name", sa.String(length=255), nullable=False),
        sa.Column("dns_domain", sa.String(length=255), nullable=False),
        sa.Column("dns_published", sa.String(length=510), server_default="", nullable=False),
        sa.Column("qos_policy_id", sa.String(length=36), nullable=True),
        sa.Column("description", sa.String(length=1024), server_default="", nullable=False),
        sa.Column("tags", sa.JSON(), server_default="[]", nullable=False),
        sa.Column("revision_number", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.String(length=20), nullable=False),
        sa.Column("updated_at", sa.String(length=20), nullable=False),
        sa.ForeignKeyConstraint(
            ["floating_network_id"], ["networks.id"], name=op.f("fk_floatingips_floating_network_id")
        ),
        sa.ForeignKeyConstraint(["floating_port_id"], ["ports.id"], name=op.f("fk_floatingips_floating_port_id")),
        sa.ForeignKeyConstraint(["gateway_port_id"], ["ports.id"], name=op.f("fk_floatingips_gateway_port_id")),
        sa.ForeignKeyConstraint(["interface_port_id"], ["ports.id"], name=op.f("fk_floatingips_interface_port_id")),
        sa.ForeignKeyConstraint(["port_id"], ["ports.id"], name=op.f("fk_floatingips_port_id")),
        sa.ForeignKeyConstraint(["qos_policy_id"], ["qos_policies.id"], name=op.f("fk_floatingips_qos_policy_id")),
        sa.ForeignKeyConstraint(["router_id"], ["routers.id"], name=op.f("fk_floatingips_router_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_floatingips")),
        sa.UniqueConstraint("floating_port_id", name=op.f("uq_floatingips_floating_port_id")),
        sa.UniqueConstraint(
            "port_id",
            "fixed_ip_address",
            "floating_network_id",
            name=op.f("uq_floatingips_port_id_fixed_ip_address_floating_network_id"),
        ),
    )
    op.create_index(op.f("ix_floatingips_floating_ip_address"), "floatingips", ["floating_ip_address"], unique=False)
    op.create_index(op.f("ix_floatingips_floating_network_id"), "floatingips", ["floating_network_id"], unique=False)
    op.create_index(op.f("ix_floatingips_gateway_port_id"), "floatingips", ["gateway_port_id"], unique=False)
    op.create_index(op.f("ix_floatingips_interface_port_id"), "floatingips", ["interface_port_id"], unique=False)
    op.create_index(op.f("ix_floatingips_port_id"), "floatingips", ["port_id"], unique=False)
    op.create_index(op.f("ix_floatingips_project_id"), "floatingips", ["project_id"], unique=False)
    op.create_index(op.f("ix_floatingips_qos_policy_id"), "floatingips", ["qos_policy_id"], unique=False)
    op.create_index(op.f("ix_floatingips_router_id"), "floatingips", ["router_id"], unique=False)
    op.create_table(
        "ha_routers",
        sa.Column("router_id", sa.String(length=36), nullable=False),
        sa.Column("network_id", sa.String(length=36), nullable=False),
        sa.Column("vr_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["network_id"], ["networks.id"], name=op.f("fk_ha_routers_network_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["router_id"], ["routers.id"], name=op.f("fk_ha_routers_router_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("router_id", name=op.f("pk_ha_routers")),
        sa.UniqueConstraint("network_id", "vr_id", name=op.f("uq_ha_routers_network_id_vr_id")),
    )
    op.create_table(
        "ip_allocations",
        sa.Column("subnet_id", sa.String(length=36), nullable=False),
        sa.Column("ip_address", sa.String(length=45), nullable=False),
        sa.Column("port_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(["port_id"], ["ports.id"], name=op.f("fk_ip_allocations_port_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["subnet_id"], ["subnets.id"], name=op.f("fk_ip_allocations_subnet_id")),
        sa.PrimaryKeyConstraint("subnet_id", "ip_address", name=op.f("pk_ip_allocations")),
    )
    op.create_index("ix_ip_allocations_ip_address", "ip_allocations", ["ip_address"], unique=False)
    op.create_index(op.f("ix_ip_allocations_port_id"), "ip_allocations", ["port_id"], unique=False)
    op.create_table(
        "local_ip_associations",
        sa.Column("local_ip_id", sa.String(length=36), nullable=False),
        sa.Column("fixed_port_id", sa.String(length=36), nullable=False),
        sa.Column("fixed_ip", sa.String(length=45), nullable=False),
        sa.ForeignKeyConstraint(
            ["fixed_port_id"], ["ports.id"], name=op.f("fk_local_ip_associations_fixed_port_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["local_ip_id"], ["local_ips.id"], name=op.f("fk_local_ip_associations_local_ip_id")),
        sa.PrimaryKeyConstraint("local_ip_id", "fixed_port_id", name=op.f("pk_local_ip_associations")),
    )
    op.create_index(
        op.f("ix_local_ip_associations_fixed_port_id"), "local_ip_associations", ["fixed_port_id"], unique=False
    )
    op.create_table(
        "ndp_proxies",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("router_id", sa.String(length=36), nullable=False),
        sa.Column("port_id", sa.String(length=36), nullable=False),
        sa.Column("ip_address", sa.String(length=45), nullable=False),
        sa.Column("description", sa.String(length=1024), server_default="", nullable=False),
        sa.Column("revision_number", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.String(length=20), nullable=False),
        sa.Column("updated_at", sa.String(length=20), nullable=False),
        sa.ForeignKeyConstraint(["port_id"], ["ports.id"], name=op.f("fk_ndp_proxies_port_id")),
        sa.ForeignKeyConstraint(["router_id"], ["routers.id"], name=op.f("fk_ndp_proxies_router_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ndp_proxies")),
        sa.UniqueConstraint("router_id", "ip_address", name=op.f("uq_ndp_proxies_router_id_ip_address")),
    )
    op.create_index(op.f("ix_ndp_proxies_port_id"), "ndp_proxies", ["port_id"], unique=False)
    op.create_index(op.f("ix_ndp_proxies_project_id"), "ndp_proxies", ["project_id"], unique=False)
    op.create_table(
        "router_extra_gateways",
        sa.Column("port_id", sa.String(length=36), nullable=False),
        sa.Column("router_id", sa.String(length=36), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("enable_snat", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["port_id"], ["ports.id"], name=op.f("fk_router_extra_gateways_port_id")),
        sa.ForeignKeyConstraint(["router_id"], ["routers.id"], name=op.f("fk_router_extra_gateways_router_id")),
        sa.PrimaryKeyConstraint("port_id", name=op.f("pk_router_extra_gateways")),
        sa.UniqueConstraint("router_id", "position", name=op.f("uq_router_extra_gateways_router_id_position")),
    )
    op.create_table(
        "router_l3_agents",
        sa.Column("router_id", sa.String(length=36), nullable=False),
        sa.Column("agent_id", sa.String(length=36), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=True),
        sa.Column("ha_port_id", sa.String(length=36), nullable=True),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_router_l3_agents_agent_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["ha_port_id"], ["ports.id"], name=op.f("fk_router_l3_agents_ha_port_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["router_id"], ["routers.id"], name=op.f("fk_router_l3_agents_router_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("router_id", "agent_id", name=op.f("pk_router_l3_agents")),
        sa.UniqueConstraint("router_id", "priority", name=op.f("uq_router_l3_agents_router_id_priority")),
        sa.UniqueConstraint("router_id", "slot", name=op.f("uq_router_l3_agents_router_id_slot")),
    )
    op.create_index(op.f("ix_router_l3_agents_agent_id"), "router_l3_agents", ["agent_id"], unique=False)
    op.create_index(op.f("ix_router_l3_agents_ha_port_id"), "router_l3_agents", ["ha_port_id"], unique=False)
    op.create_table(
        "router_ports",
        sa.Column("port_id", sa.String(length=36), nullable=False),
        sa.Column("router_id", sa.String(length=36), nullable=False),
        sa.Column("advertise_host", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["port_id"], ["ports.id"], name=op.f("fk_router_ports_port_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["router_id"], ["routers.id"], name=op.f("fk_router_ports_router_id")),
        sa.PrimaryKeyConstraint("port_id", name=op.f("pk_router_ports")),
    )
    op.create_index(op.f("ix_router_ports_router_id"), "router_ports", ["router_id"], unique=False)
    op.create_table(
        "trunk_sub_ports",
        sa.Column("port_id", sa.String(length=36), nullable=False),
        sa.Column("trunk_id", sa.String(length=36), nullable=False),
        sa.Column("segmentation_type", sa.String(length=32), nullable=False),
        sa.Column("segmentation_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["port_id"], ["ports.id"], name=op.f("fk_trunk_sub_ports_port_id")),
        sa.ForeignKeyConstraint(
            ["trunk_id"], ["trunks.id"], name=op.f("fk_trunk_sub_ports_trunk_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("port_id", name=op.f("pk_trunk_sub_ports")),
        sa.UniqueConstraint(
            "trunk_id",
            "segmentation_type",
            "segmentation_id",
            name=op.f("uq_trunk_sub_ports_trunk_id_segmentation_type_segmentation_id"),
        ),
    )
    op.create_table(
        "port_forwardings",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("floatingip_id", sa.String(length=36), nullable=False),
        sa.Column("protocol", sa.String(length=16), nullable=False),
        sa.Column("external_port", sa.Integer(), nullable=True),
        sa.Column("external_port_range", sa.String(length=11), nullable=True),
        sa.Column("internal_port", sa.Integer(), nullable=True),
        sa.Column("internal_port_range", sa.String(length=11), nullable=True),
        sa.Column("internal_ip_address", sa.String(length=45), nullable=False),
        sa.Column("internal_port_id", sa.String(length=36), nullable=False),
        sa.Column("interface_port_id", sa.String(length=36), nullable=False),
        sa.Column("description", sa.String(length=1024), nullable=False),
        sa.ForeignKeyConstraint(["floatingip_id"], ["floatingips.id"], name=op.f("fk_port_forwardings_floatingip_id")),
        sa.ForeignKeyConstraint(
            ["interface_port_id"], ["ports.id"], name=op.f("fk_port_forwardings_interface_port_id")
        ),
        sa.ForeignKeyConstraint(["internal_port_id"], ["ports.id"], name=op.f("fk_port_forwardings_internal_port_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_port_forwardings")),
    )
    op.create_index(op.f("ix_port_forwardings_floatingip_id"), "port_forwardings", ["floatingip_id"], unique=False)
    op.create_index(
        op.f("ix_port_forwardings_interface_port_id"), "port_forwardings", ["interface_port_id"], unique=False
    )
    op.create_index(
        "ix_port_forwardings_internal",
        "port_forwardings",
        ["internal_port_id", "internal_ip_address", "protocol"],
        unique=False,
    )
    op.create_index(op.f("ix_port_forwardings_project_id"), "port_forwardings", ["project_id"], unique=False)
