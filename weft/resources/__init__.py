"""What each thing of the Networking API is: one resource, one file."""

from __future__ import annotations

from weft.registry.resource import Resource
from weft.resources.address_group import ADDRESS_GROUP
from weft.resources.address_scope import ADDRESS_SCOPE
from weft.resources.agent import AGENT
from weft.resources.availability_zone import AVAILABILITY_ZONE
from weft.resources.conntrack_helper import CONNTRACK_HELPER
from weft.resources.default_security_group_rule import DEFAULT_SECURITY_GROUP_RULE
from weft.resources.flavor import FLAVOR, FLAVOR_SERVICE_PROFILE, NEXT_PROVIDER
from weft.resources.floatingip import FLOATINGIP
from weft.resources.floatingip_pool import FLOATINGIP_POOL
from weft.resources.local_ip import LOCAL_IP, PORT_ASSOCIATION
from weft.resources.log import LOG, LOGGABLE_RESOURCE
from weft.resources.metering import METERING_LABEL, METERING_LABEL_RULE
from weft.resources.ndp_proxy import NDP_PROXY
from weft.resources.network import NETWORK
from weft.resources.network_ip_availability import NETWORK_IP_AVAILABILITY
from weft.resources.network_segment_range import NETWORK_SEGMENT_RANGE
from weft.resources.port import PORT
from weft.resources.port_binding import PORT_BINDING
from weft.resources.port_forwarding import PORT_FORWARDING
from weft.resources.qos_policy import POLICY
from weft.resources.qos_rule_type import RULE_TYPE
from weft.resources.qos_rules import RULES
from weft.resources.rbac_policy import RBAC_POLICY
from weft.resources.router import ROUTER
from weft.resources.security_group import SECURITY_GROUP
from weft.resources.security_group_rule import SECURITY_GROUP_RULE
from weft.resources.security_groups_default_statefulness import DEFAULT_STATEFULNESS
from weft.resources.segment import SEGMENT
from weft.resources.service_profile import SERVICE_PROFILE
from weft.resources.service_provider import SERVICE_PROVIDER
from weft.resources.subnet import SUBNET
from weft.resources.subnetpool import SUBNETPOOL
from weft.resources.trunk import TRUNK

RESOURCES: tuple[Resource, ...] = (
    NETWORK,
    SUBNET,
    PORT,
    PORT_BINDING,
    TRUNK,
    SECURITY_GROUP,
    SECURITY_GROUP_RULE,
    DEFAULT_SECURITY_GROUP_RULE,
    DEFAULT_STATEFULNESS,
    ADDRESS_GROUP,
    AGENT,
    ROUTER,
    CONNTRACK_HELPER,
    NDP_PROXY,
    FLOATINGIP,
    PORT_FORWARDING,
    FLOATINGIP_POOL,
    SUBNETPOOL,
    ADDRESS_SCOPE,
    RBAC_POLICY,
    LOCAL_IP,
    PORT_ASSOCIATION,
    AVAILABILITY_ZONE,
    NETWORK_IP_AVAILABILITY,
    FLAVOR,
    SERVICE_PROFILE,
    FLAVOR_SERVICE_PROFILE,
    NEXT_PROVIDER,
    SERVICE_PROVIDER,
    SEGMENT,
    NETWORK_SEGMENT_RANGE,
    METERING_LABEL,
    METERING_LABEL_RULE,
    LOG,
    LOGGABLE_RESOURCE,
    POLICY,
    *RULES,
    RULE_TYPE,
)
"""Everything that the API serves, in the order in which documentation lists it."""
