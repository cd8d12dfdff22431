"""One class per fault of the Networking API; the class name is the `type` that clients see.

`raise errors.PortNotFound(id=port_id)`: the keyword arguments are the facts of the case, the class holds the sentence.
Facts have plain names: `id` is the object that the class is about; others are `network_id`, `reason`, ... Only the
API's door knows how a fault becomes JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar


class _Facts(dict[str, Any]):
    """Facts for str.format_map: one that was not given shows as its name in angle brackets."""

    def __missing__(self, key: str) -> str:
        return f"<{key}>"


class Fault(Exception):
    """A request that is refused or fails: HTTP `status`, and `message` for the person who asked.

    On the class `message` is a str.format template over the facts; on the instance it is the finished sentence.
    A message given to the constructor is taken literally and replaces the template.
    """

    status: int = 500
    message: str = "The request could not be served."
    wire_type: ClassVar[str | None] = None
    envelope: ClassVar[str] = "NeutronError"
    #: further headers of the answer: where to authenticate, when to come back
    headers: Mapping[str, str] = MappingProxyType({})

    def __init__(self, message: str | None = None, /, **facts: Any) -> None:
        self.facts = facts
        self.message = type(self).message.format_map(_Facts(facts)) if message is None else message
        super().__init__(self.message)

    @property
    def type(self) -> str:
        """The `type` on the wire."""
        return self.wire_type or self.__class__.__name__

    def __str__(self) -> str:
        return self.message


# The kinds: what clients may rely on is the status.


class BadRequest(Fault):
    status = 400
    message = "Bad {resource} request: {reason}."


class InvalidInput(BadRequest):
    message = "Invalid input for operation: {reason}."


class NotAuthorized(Fault):
    status = 403
    message = "Not authorized."


class NotFound(Fault):
    status = 404
    message = "{resource} {id} could not be found."


class Conflict(Fault):
    status = 409
    message = "{reason}."


class InUse(Fault):
    status = 409
    message = "The resource is in use."


class ServiceUnavailable(Fault):
    status = 503
    message = "The service is unavailable."


class Invalid(Fault):
    """A value that no other class fits (metering rules)."""

    status = 400
    message = "{reason}."


# What HTTP itself says.


class HTTPBadRequest(Fault):
    """A body, attribute, filter or sort key that the API does not understand."""

    status = 400
    message = "{reason}"


class MalformedRequestBody(BadRequest):
    message = "Malformed request body: {reason}."


class Unauthorized(Fault):
    wire_type = "HTTPUnauthorized"
    status = 401
    message = "Authentication required."


class HTTPForbidden(Fault):
    status = 403
    message = "Access was denied to this resource."


class PolicyNotAuthorized(Fault):
    """`rule` names what was asked: `rule:a`, or `(rule:a and rule:a:b)`."""

    status = 403
    message = "{rule} is disallowed by policy"


class InvalidScope(Fault):
    """A token for a system or domain, where a project is needed."""

    status = 403
    message = "{rule} requires a scope of {scopes}, the request was made with {scope} scope."


class AdminRequired(NotAuthorized):
    message = "User does not have admin privileges: {reason}."


class HTTPNotFound(Fault):
    status = 404
    message = "The resource could not be found."


class HTTPMethodNotAllowed(Fault):
    status = 405
    message = "The method is not allowed for this resource."


class HTTPNotAcceptable(Fault):
    status = 406
    message = "Only application/json can be produced."


class RevisionNumberConstraintFailed(Fault):
    """If-Match named another revision than the current one (RFC 9110, 13.1.1)."""

    status = 412
    message = "Constrained to {expected}, but current revision is {current}"


class WatchExpired(Fault):
    """A watcher wants to go on from a number of the change log that cannot be gone on from."""

    status = 410
    message = "The change log no longer reaches back to {sequence}: list again, and watch from then on."


class IdempotencyKeyReused(Fault):
    status = 422
    message = "The Idempotency-Key {key} belongs to another request."


class HTTPRequestEntityTooLarge(Fault):
    status = 413
    message = "The request body is too large."


class HTTPRequestURITooLong(Fault):
    status = 414
    message = "The request URI is too long."


class HTTPInternalServerError(Fault):
    status = 500
    message = "Request Failed: internal server error while processing your request."


class HTTPNotImplemented(Fault):
    status = 501
    message = "{reason}"


class NotImplementedFault(Fault):
    """Something that this service does not do; its top-level key on the wire is its type."""

    wire_type = "NotImplementedError"
    envelope = "NotImplementedError"
    status = 501
    message = ""


class AddrFormatError(Fault):
    status = 400
    message = "{address} is not a valid IP address or prefix."


class PolicyCheckError(Fault):
    """The operator's policy asks for something that cannot be evaluated."""

    message = "Failed to check policy {policy} because {reason}."


class MultipleFaults(Fault):
    """Several faults at once: of one status, their messages line by line; else a 409 Conflict that lists them."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        alike = len({fault.status for fault in self.faults}) == 1
        self._type = self.faults[0].type if alike else "Conflict"
        lines = [
            fault.message if alike else f"HTTP {fault.status} {fault.type}: {fault.message}" for fault in self.faults
        ]
        super().__init__("\n".join(lines))
        self.status = self.faults[0].status if alike else 409

    @property
    def type(self) -> str:
        return self._type


# Quotas, tags, roles, records.


class OverQuota(Conflict):
    """`resources` is a list of names; clients match the beginning of the message."""

    message = "Quota exceeded for resources: {resources}."


class InvalidQuotaValue(Conflict):
    message = "The change would take usage below 0 for: {resources}."


class QuotaResourceUnknown(NotFound):
    message = "Unknown quota resources {resources}."


class QuotaMissingTenant(BadRequest):
    message = "The quota request names no project."


class QuotaMissingProject(BadRequest):
    message = "The quota request names no project."


class TenantQuotaNotFound(NotFound):
    message = "Quota for project {id} could not be found."


class ProjectQuotaNotFound(NotFound):
    message = "Quota for project {id} could not be found."


class TenantIdProjectIdFilterConflict(BadRequest):
    message = "Filter by tenant_id or by project_id, not by both."


class TagNotFound(NotFound):
    message = "Tag {tag} could not be found."


class TagResourceNotFound(NotFound):
    message = "Resource {resource} {id} could not be found."


class ExtensionsNotFound(NotFound):
    message = "Extensions not found: {aliases}."


class ObjectNotFound(NotFound):
    message = "Object {id} not found."


class NeutronDbObjectDuplicateEntry(Conflict):
    message = "Failed to create a duplicate {resource}: {attributes} = {values} is taken."


class RbacPolicyNotFound(NotFound):
    message = "RBAC policy of type unknown with ID {id} not found"


class RbacPolicyInUse(Conflict):
    message = (
        "RBAC policy on object {object_id} cannot be removed because other objects depend on it.\nDetails: {reason}"
    )


class DuplicateRbacPolicy(Conflict):
    message = "An RBAC policy already exists with those values."


class InvalidActionForType(InvalidInput):
    message = "Invalid action '{action}' for object type '{object_type}'. Valid actions: {valid}"


# Networks and segments.


class NetworkNotFound(NotFound):
    message = "Network {id} could not be found."


class NetworkInUse(InUse):
    message = "Unable to complete operation on network {id}. {reason}."


class NetworkMTUSubnetConflict(Conflict):
    message = "MTU of network {id} is not valid, subnet requires a minimum of {minimum}"


class InvalidSharedSetting(Conflict):
    message = "Unable to reconfigure sharing settings for network {id}. Multiple projects are using it."


class ExternalNetworkInUse(InUse):
    message = "Network {id} must stay external: routers have gateway ports on it."


class DefaultExternalNetworkExists(Conflict):
    message = "A default external network already exists: {id}."


class NoNetworkAvailable(ServiceUnavailable):
    message = "Unable to create the network. No project network is available for allocation."


class NoNetworkFoundInMaximumAllowedAttempts(ServiceUnavailable):
    message = "Unable to create the network. No segment could be reserved after {attempts} attempts."


class FlatNetworkInUse(InUse):
    message = "Unable to create the flat network. Physical network {physical_network} is in use."


class VlanIdInUse(InUse):
    message = "Unable to create the network. The VLAN {vlan_id} on physical network {physical_network} is in use."


class TunnelIdInUse(InUse):
    message = "Unable to create the network. The tunnel ID {tunnel_id} is in use."


class NetworkVlanRangeError(BadRequest):
    message = "Invalid network VLAN range: '{range}' - '{reason}'."


class NetworkTunnelRangeError(BadRequest):
    message = "Invalid network tunnel range: '{range}' - {reason}."


class VlanTransparencyDriverError(BadRequest):
    message = "Backend does not support VLAN Transparency."


class VlanQinqDriverError(BadRequest):
    message = "Backend does not support VLAN QinQ."


class SegmentsSetInConjunctionWithProviders(InvalidInput):
    message = "Segments and provider values cannot both be set."


class SegmentsContainDuplicateEntry(InvalidInput):
    message = "Duplicate segment entry in request."


class AvailabilityZoneNotFound(NotFound):
    message = "AvailabilityZone {name} could not be found."


class SegmentNotFound(NotFound):
    message = "Segment {id} could not be found."


class SegmentInUse(InUse):
    message = "Segment '{id}' cannot be deleted: {reason}."


class NetworkIdsDontMatch(BadRequest):
    message = "The subnet is on network {network_id}, segment {segment_id} is not."


class SubnetCantAssociateToDynamicSegment(BadRequest):
    message = "A subnet cannot be associated with a dynamic segment."


class SubnetsNotAllAssociatedWithSegments(BadRequest):
    message = "Either all subnets of network {network_id} belong to segments, or none does."


class SubnetSegmentAssociationChangeNotAllowed(BadRequest):
    message = "The subnet belongs to a segment already; that cannot be changed."


class NoUpdateSubnetWhenMultipleSegmentsOnNetwork(BadRequest):
    message = "Network {network_id} has several segments: an existing subnet cannot be assigned to one of them."


class FixedIpsSubnetsNotOnSameSegment(BadRequest):
    message = "Cannot allocate addresses from different segments."


class HostNotConnectedToAnySegment(Conflict):
    message = "Host {host} is not connected to any segment of routed network {network_id}."


class HostNotCompatibleWithFixedIps(Conflict):
    message = "Host {host} is not connected to a segment on which the fixed IPs of port {port_id} work."


class NetworkSegmentRangeNotFound(NotFound):
    message = "Network Segment Range {id} could not be found."


class NetworkSegmentRangeNetTypeNotSupported(BadRequest):
    message = "Network type {network_type} does not support network segment ranges."


class NetworkSegmentRangeOverlaps(Conflict):
    message = "Network segment range overlaps with range(s) with id {id}"


class NetworkSegmentRangeReferencedByProject(InUse):
    message = "Network Segment Range {id} is referenced by one or more project networks."


class NetworkSegmentRangeDefaultReadOnly(BadRequest):
    message = "Network Segment Range {id} is a default range: it cannot be updated or deleted."


class PVLANNetworkPortSecurityDisabled(BadRequest):
    message = "PVLAN needs port security, which is disabled on network {network_id}."


class PVLANPortSecurityDisabled(BadRequest):
    message = "PVLAN needs port security, which is disabled on port {port_id}."


class PVLANNotEnabledOnNetwork(BadRequest):
    message = "PVLAN is not enabled on network {network_id}."


class PVLANUnsupportedType(BadRequest):
    message = "Unsupported PVLAN type {pvlan_type} for port {port_id}."


class PVLANCannotSetCommunityName(BadRequest):
    message = 'Port {port_id} is not of PVLAN type "community": it takes no community name.'


class PVLANCommunityNameRequired(BadRequest):
    message = 'Port {port_id} is of PVLAN type "community": it needs a community name.'


# Subnets, pools, address scopes and groups.


class SubnetNotFound(NotFound):
    message = "Subnet {id} could not be found."


class SubnetInUse(InUse):
    message = "Unable to complete operation on subnet {id}: {reason}."


class DNSNameServersExhausted(BadRequest):
    message = "Unable to complete operation for {subnet_id}. The number of DNS nameservers exceeds the limit {limit}."


class HostRoutesExhausted(BadRequest):
    message = "Unable to complete operation for {subnet_id}. The number of host routes exceeds the limit {limit}."


class InvalidCIDR(BadRequest):
    message = "Invalid CIDR {cidr} given as IP prefix."


class InvalidAllocationPool(BadRequest):
    message = "The allocation pool {pool} is not valid."


class OutOfBoundsAllocationPool(BadRequest):
    message = "The allocation pool {pool} spans beyond the subnet cidr {cidr}."


class OverlappingAllocationPools(Conflict):
    message = "Found overlapping allocation pools: {pool} {other} for subnet {cidr}."


class GatewayConflictWithAllocationPools(InUse):
    message = "Gateway ip {ip} conflicts with allocation pool {pool}."


class GatewayIpInUse(InUse):
    message = "Current gateway ip {ip} already in use by port {port_id}. Unable to update."


class InvalidSubnetServiceType(InvalidInput):
    message = "Subnet service type {service_type} does not correspond to a valid device owner."


class InvalidInputSubnetServiceType(InvalidInput):
    message = "Subnet service type {service_type} is not a string."


class InvalidSubnetRequest(BadRequest):
    message = "The subnet request could not be satisfied because: {reason}"


class InvalidSubnetRequestType(BadRequest):
    message = "A subnet of type {subnet_type} cannot be requested."


class NetworkSubnetPoolAffinityError(BadRequest):
    message = "Subnets hosted on the same network must be allocated from the same subnet pool."


class NetworkAddressScopeAffinityError(BadRequest):
    message = "All subnets of one IP version on a network must be in the same address scope."


class SubnetPoolNotFound(NotFound):
    message = "Subnet pool {id} could not be found."


class SubnetPoolInUse(InUse):
    message = "Unable to complete operation on subnet pool {id}. {reason}."


class SubnetPoolDeleteError(BadRequest):
    message = "Unable to delete subnet pool: {reason}."


class SubnetPoolQuotaExceeded(OverQuota):
    message = "Per-project subnet pool prefix quota exceeded."


class SubnetAllocationError(Conflict):
    message = "Failed to allocate subnet: {reason}."


class MinPrefixSubnetAllocationError(BadRequest):
    message = "Unable to allocate subnet with prefix length {prefixlen}, minimum allowed prefix is {minimum}."


class MaxPrefixSubnetAllocationError(BadRequest):
    message = "Unable to allocate subnet with prefix length {prefixlen}, maximum allowed prefix is {maximum}."


class EmptySubnetPoolPrefixList(BadRequest):
    message = "Empty subnet pool prefix list."


class PrefixVersionMismatch(BadRequest):
    message = "Cannot mix IPv4 and IPv6 prefixes in a subnet pool."


class UnsupportedMinSubnetPoolPrefix(BadRequest):
    message = "Prefix '{prefix}' not supported in IPv{ip_version} pool."


class IllegalSubnetPoolPrefixBounds(BadRequest):
    message = "Illegal prefix bounds: {name}={value}, {other_name}={other_value}."


class IllegalSubnetPoolPrefixUpdate(BadRequest):
    message = "Illegal update to prefixes: {reason}."


class IllegalSubnetPoolUpdate(BadRequest):
    message = "Illegal subnetpool update: {reason}."


class IllegalSubnetPoolAssociationToAddressScope(BadRequest):
    message = "Subnet pool {id} cannot be associated with address scope {address_scope_id}."


class IllegalSubnetPoolIpVersionAssociationToAddressScope(BadRequest):
    message = "Subnet pool {id} cannot be associated with address scope {address_scope_id}: it is not IPv{ip_version}."


class AddressScopeNotFound(NotFound):
    message = "Address scope {id} could not be found."


class AddressScopeInUse(InUse):
    message = "Unable to complete operation on address scope {id}. Subnet pools use it."


class AddressScopeUpdateError(BadRequest):
    message = "Unable to update address scope {id}: {reason}."


class AddressScopePrefixConflict(Conflict):
    message = "Failed to associate address scope: subnetpools within an address scope must have unique prefixes."


class AddressGroupNotFound(NotFound):
    message = "Address group {id} could not be found."


class AddressGroupInUse(InUse):
    message = "Address group {id} is in use on one or more security group rules."


class AddressesAlreadyExist(BadRequest):
    message = "Addresses {addresses} already exist in the address group {id}."


class AddressesNotFound(NotFound):
    message = "Addresses {addresses} not found in the address group {id}."


# Addresses.


class InvalidIpForNetwork(BadRequest):
    message = "IP address {ip} is not a valid IP for any of the subnets on the specified network."


class InvalidIpForSubnet(BadRequest):
    message = "IP address {ip} is not a valid IP for subnet {subnet_id}."


class AllocationOnAutoAddressSubnet(InvalidInput):
    message = "IPv6 address {ip} cannot be assigned to a port: subnet {subnet_id} configures addresses automatically."


class IPAddressChangeNotAllowed(BadRequest):
    message = "IP updates for port {port_id} are not allowed"


class IpAddressAlreadyAllocated(Conflict):
    message = "IP address {ip} already allocated in subnet {subnet_id}"


class IpAddressInUse(InUse):
    message = "Unable to complete operation for network {network_id}. The IP address {ip} is in use."


class IpAddressGenerationFailure(Conflict):
    """Clients wait and try again on this type, and match the beginning of the message."""

    message = "No more IP addresses available on network {network_id}."


class IpAddressGenerationFailureAllSubnets(IpAddressGenerationFailure):
    message = "No more IP addresses available."


class IpAddressGenerationFailureNoMatchingSubnet(IpAddressGenerationFailure):
    message = "Network {network_id} has no subnet for service type {service_type}."


class ExternalIpAddressExhausted(BadRequest):
    message = "Unable to find any IP address on external network {network_id}."


class IpamValueInvalid(Conflict):
    message = "{reason}"


# Ports and bindings.


class PortNotFound(NotFound):
    message = "Port {id} could not be found."


class PortNotFoundOnNetwork(NotFound):
    message = "Port {id} could not be found on network {network_id}."


class PortInUse(InUse):
    message = (
        "Unable to complete operation on port {id} for network {network_id}. "
        "Port already has an attached device {device_id}."
    )


class ServicePortInUse(InUse):
    message = "Port {id} cannot be deleted directly via the port API: {reason}."


class PortBound(InUse):
    message = (
        "The MAC address of port {id} cannot change from {old_mac} to {new_mac}: it is bound (vif_type {vif_type})."
    )


class PortBoundNUMAAffinityPolicy(InUse):
    message = "numa_affinity_policy of port {id} cannot become {numa_affinity_policy}: it is bound to host {host}."


class UnsupportedPortDeviceOwner(Conflict):
    message = "Operation {operation} is not supported for device_owner {device_owner} on port {id}."


class StateInvalid(BadRequest):
    message = "Unsupported port state: {state}."


class MacAddressInUse(InUse):
    message = "Unable to complete operation for network {network_id}. The mac address {mac} is in use."


class NetworkMacAddressGenerationFailure(ServiceUnavailable):
    message = "Unable to generate unique mac on network {network_id}."


class HostMacAddressGenerationFailure(ServiceUnavailable):
    message = "Unable to generate unique mac for host {host}."


class DeviceIDNotOwnedByTenant(Conflict):
    message = "Device {device_id} is not owned by your project, or is another project's router."


class DeviceIDNotOwnedByProject(Conflict):
    message = "Device {device_id} is not owned by your project, or is another project's router."


class AllowedAddressPairsMissingIP(InvalidInput):
    message = "AllowedAddressPair must contain ip_address"


class AllowedAddressPairExhausted(BadRequest):
    message = "The number of allowed address pair exceeds the maximum {limit}."


class DuplicateAddressPairInRequest(InvalidInput):
    message = "Request contains duplicate address pair: mac_address {mac} ip_address {ip}."


class AddressPairAndPortSecurityRequired(Conflict):
    message = "Port Security must be enabled in order to have allowed address pairs on a port."


class InvalidVirtualMACAddress(InvalidInput):
    message = "MAC address {mac} of an allowed address pair is not a VRRP address (RFC 5798, 00:00:5e:00:01:XX)."


class PortSecurityAndIPRequiredForSecurityGroups(InvalidInput):
    message = "Port security must be enabled and port must have an IP address in order to use security groups."


class PortSecurityPortHasSecurityGroup(InUse):
    message = "The port has security groups: remove them before port security or its last IP address."


class PortBindingNotFound(NotFound):
    message = "Binding for port {port_id} for host {host} could not be found."


class PortBindingAlreadyExists(Conflict):
    message = "Binding for port {port_id} on host {host} already exists."


class PortBindingAlreadyActive(Conflict):
    message = "Binding for port {port_id} on host {host} is already active."


class PortBindingError(Conflict):
    message = "Binding for port {port_id} on host {host} could not be created or updated: {reason}."


class UnknownResourceProvider(BadRequest):
    message = "No host device is known as resource provider {resource_provider}."


class DhcpPortInUse(InUse):
    message = "Port {id} is already acquired by another DHCP agent"


# Security groups.


class SecurityGroupNotFound(NotFound):
    message = "Security group {id} does not exist"


class SecurityGroupInUse(InUse):
    message = "Security Group {id} {reason}."


class SecurityGroupConflict(Conflict):
    message = "Error {reason} while attempting the operation."


class SecurityGroupDefaultAlreadyExists(InUse):
    message = "Default security group already exists."


class SecurityGroupCannotRemoveDefault(InUse):
    message = "Insufficient rights for removing default security group."


class SecurityGroupCannotUpdateDefault(InUse):
    message = "Updating default security group not allowed."


class SecurityGroupRuleNotFound(NotFound):
    message = "Security group rule {id} does not exist"


class SecurityGroupRuleInUse(InUse):
    message = "Security Group Rule {id} {reason}."


class SecurityGroupRuleExists(InUse):
    """Clients read the rule's id out of this sentence."""

    message = "Security group rule already exists. Rule id is {id}."


class DuplicateSecurityGroupRuleInPost(InUse):
    message = "Duplicate Security Group Rule in POST."


class SecurityGroupNotSingleGroupRules(InvalidInput):
    message = "All rules of one request must be for one security group."


class SecurityGroupRulesNotSingleProject(InvalidInput):
    message = "All rules of one request must be of one project."


class SecurityGroupRuleInvalidProtocol(InvalidInput):
    message = (
        "Security group rule protocol {protocol} not supported. "
        "Only protocol values {valid} and integer representations [0 to 255] are supported."
    )


class SecurityGroupRuleInvalidEtherType(InvalidInput):
    message = "Security group rule for ethertype '{ethertype}' not supported. Allowed values are {valid}."


class SecurityGroupRuleParameterConflict(InvalidInput):
    message = "Conflicting value ethertype {ethertype} for CIDR {cidr}"


class SecurityGroupEthertypeConflictWithProtocol(InvalidInput):
    message = "Invalid ethertype {ethertype} for protocol {protocol}."


class SecurityGroupProtocolRequiredWithPorts(InvalidInput):
    message = "Must also specify protocol if port range is given."


class SecurityGroupInvalidProtocolForPort(InvalidInput):
    message = "Ports cannot be specified for protocol {protocol}. Ports are only supported for {valid}."


class SecurityGroupInvalidPortRange(InvalidInput):
    message = "For TCP/UDP protocols, port_range_min must be <= port_range_max"


class SecurityGroupInvalidPortValue(InvalidInput):
    message = "Invalid value for port {port}"


class SecurityGroupInvalidIcmpValue(InvalidInput):
    """`field` is type or code; `attribute` the one that carries it."""

    message = "Invalid value for ICMP {field} ({attribute}) {value}. It must be 0 to 255."


class SecurityGroupMissingIcmpType(InvalidInput):
    message = "ICMP code (port-range-max) {value} is provided but ICMP type (port-range-min) is missing."


class SecurityGroupMultipleRemoteEntites(InvalidInput):
    message = "Only one of remote_ip_prefix or remote_group_id or remote_address_group_id may be provided."


class DefaultSecurityGroupRuleNotFound(NotFound):
    message = "Default Security Group rule {id} does not exist"


class DefaultSecurityGroupRuleExists(InUse):
    message = "Default Security group rule already exists. Rule id is {id}."


class DuplicateDefaultSgRuleInPost(InUse):
    message = "Duplicate Default Security Group Rule in POST."


class SecurityGroupDefaultStatefulnessNotFound(NotFound):
    message = "Security group default statefulness {id} could not be found."


class SecurityGroupDefaultStatefulnessAlreadyExists(Conflict):
    message = "Project '{project_id}' already has a setting for the statefulness of its security groups."


# Routers.


class RouterNotFound(NotFound):
    message = "Router {id} could not be found"


class RouterInUse(InUse):
    message = "Router {id} {reason}"


class RouterInterfaceNotFound(NotFound):
    message = "Router {router_id} does not have an interface with id {port_id}"


class RouterInterfaceNotFoundForSubnet(NotFound):
    message = "Router {router_id} has no interface on subnet {subnet_id}"


class RouterInterfaceAttachmentConflict(Conflict):
    message = "Error {reason} while attempting the operation."


class RouterInterfaceInUseByFloatingIP(InUse):
    message = (
        "Router interface for subnet {subnet_id} on router {router_id} cannot be deleted, "
        "as it is required by one or more floating IPs."
    )


class RouterInterfaceInUseByRoute(InUse):
    message = (
        "Router interface for subnet {subnet_id} on router {router_id} cannot be deleted, "
        "as it is required by one or more routes."
    )


class SubnetMismatchForPort(BadRequest):
    message = "Subnet on port {port_id} does not match the requested subnet {subnet_id}."


class RouterExternalGatewayInUseByFloatingIp(InUse):
    message = (
        "Gateway cannot be updated for router {router_id}, "
        "since a gateway to external network {network_id} is required by one or more floating IPs."
    )


class InvalidRoutes(InvalidInput):
    message = "Invalid format for routes: {routes}, {reason}"


class RoutesExhausted(BadRequest):
    message = "Unable to complete operation for {router_id}. The number of routes exceeds the maximum {limit}."


class UnableToAddExtraGateways(Conflict):
    message = "Unable to add extra gateways to router {router_id}: {reason}"


class UnableToMatchGateways(BadRequest):
    message = "Unable to match the gateways of the request with those of router {router_id}: {reason}"


class UnableToRemoveGateways(Conflict):
    message = "Unable to remove extra gateways from router {router_id}: {reason}"


class DuplicatedHANetwork(Conflict):
    message = "Project {project_id} already has a HA network."


class HANetworkConcurrentDeletion(Conflict):
    message = "Network for project {project_id} concurrently deleted."


class NoVRIDAvailable(Conflict):
    """One project's HA routers share a network, and VRRP (RFC 5798) knows 255 routers on it."""

    message = "No Virtual Router Identifier (VRID) is left for router {router_id}: a project can have 254 HA routers."


class DVRMacAddressNotFound(NotFound):
    message = "Host {host} has no MAC address for distributed routing."


class EVPNRequiresOVN(BadRequest):
    message = "EVPN needs the OVN router provider; the flavor of router {router_id} has another one."


class EVPNVNINotFound(NotFound):
    message = "EVPN VNI not found for router {router_id}."


class EVPNVNIInUse(Conflict):
    message = "EVPN VNI {vni} is already in use."


class EVPNNoVniAvailable(Conflict):
    message = "No EVPN VNI available in range [{minimum}, {maximum}]."


class EVPNNoVlanAvailable(Conflict):
    message = "No EVPN VLAN ID available in range [{minimum}, {maximum}]."


# Floating IPs, port forwardings, NDP proxies, conntrack helpers, local IPs.


class FloatingIPNotFound(NotFound):
    message = "Floating IP {id} could not be found"


class FloatingIPPortAlreadyAssociated(InUse):
    message = (
        "Cannot associate floating IP {floating_ip_address} ({id}) with port {port_id} using fixed IP {fixed_ip}, "
        "as that fixed IP already has a floating IP on external network {network_id}."
    )


class ExternalGatewayForFloatingIPNotFound(NotFound):
    message = (
        "External network {external_network_id} is not reachable from subnet {subnet_id}. "
        "Therefore, cannot associate Port {port_id} with a Floating IP."
    )


class FipAssociated(InUse):
    message = "Unable to complete the operation on port {port_id} because the port still has an associated floating IP."


class FipInUseByPortForwarding(InUse):
    message = "Floating IP {id} in use by Port Forwarding resources."


class PortForwardingNotFound(NotFound):
    message = "Port Forwarding {id} could not be found."


class PortForwardingNotSupportFilterField(BadRequest):
    message = "Port Forwarding filter {filter} is not supported."


class PortHasBindingFloatingIP(InUse):
    message = (
        "Cannot create port forwarding to floating IP {floating_ip_address} ({floatingip_id}) with port {port_id} "
        "using fixed IP {fixed_ip}, as that port already has a binding floating IP."
    )


class PortHasPortForwarding(BadRequest):
    message = "Cannot associate floating IP to port {port_id} because it already has a Port Forwarding binding."


class NDPProxyNotFound(NotFound):
    message = "Ndp proxy {id} could not be found."


class RouterNDPProxyNotEnable(Conflict):
    message = "Router {router_id} needs enable_ndp_proxy for an NDP proxy."


class RouterGatewayNotValid(Conflict):
    message = "Can not enable ndp proxy on router {router_id}, {reason}."


class RouterGatewayInUseByNDPProxy(Conflict):
    message = "The external gateway of router {router_id} cannot be removed: NDP proxies use it."


class RouterIPv6GatewayInUse(Conflict):
    message = "The IPv6 subnet of the external gateway of router {router_id} cannot be removed: NDP proxies use it."


class RouterInterfaceInUseByNDPProxy(Conflict):
    message = "Subnet {subnet_id} cannot be removed from router {router_id}: NDP proxies use it."


class PortUnreachableRouter(Conflict):
    message = "Port {port_id} shares no IPv6 subnet with router {router_id}."


class AddressScopeConflict(Conflict):
    message = "IPv6 address scope {external} of the external network is not that of the internal one, {internal}."


class InvalidAddress(BadRequest):
    message = "The address {address} is invalid, reason: {reason}."


class ConntrackHelperNotFound(NotFound):
    message = "Conntrack Helper {id} could not be found."


class ConntrackHelperNotAllowed(BadRequest):
    message = "Conntrack Helper {helper} is not allowed."


class InvalidProtocolForHelper(BadRequest):
    message = "Conntrack Helper {helper} does not support: {protocol}. Supported protocols are: {valid}"


class LocalIPNotFound(NotFound):
    message = "Local IP {id} could not be found."


class LocalIPInUse(InUse):
    message = "Local IP {id} is still associated with one or more ports."


class LocalIPAssociationNotFound(NotFound):
    message = "Local IP {local_ip_id} association with port {fixed_port_id} could not be found."


class LocalIPPortOrNetworkRequired(InvalidInput):
    message = "A Local IP needs a port (local_port_id) or a network (network_id)."


class LocalIPNoIP(InvalidInput):
    message = "Port {port_id} has no fixed IPs."


class LocalIPNoRequestedIP(InvalidInput):
    message = "Port {port_id} has several fixed IPs: local_ip_address must name one of them."


class LocalIPRequestedIPNotFound(InvalidInput):
    message = "Port {port_id} does not have IP address {ip}."


# DNS.


class DNSDomainNotFound(NotFound):
    message = "Domain {dns_domain} not found in the external DNS service"


class DuplicateRecordSet(Conflict):
    message = "Name {dns_name} is duplicated in the external DNS service"


class ExternalDNSDriverNotFound(NotFound):
    message = "External DNS driver {driver} could not be found."


class ExternalDNSOverQuota(OverQuota):
    message = "External DNS Quota exceeded for resources: {resources}."


class InvalidPTRZoneConfiguration(Conflict):
    message = "{parameter} has to be a multiple of {number} between {minimum} and {maximum}"


# Quality of service.


class QosPolicyNotFound(NotFound):
    message = "QoS policy {id} could not be found."


class QosRuleNotFound(NotFound):
    message = "QoS rule {id} for policy {policy_id} could not be found."


class QosPolicyInUse(InUse):
    """`object_type` is network, port, floating IP or router; `object_id` one that uses the policy."""

    message = "QoS Policy {id} is used by {object_type} {object_id}."


class QoSPolicyDefaultAlreadyExists(Conflict):
    message = "A default QoS policy exists for project {project_id}."


class QoSRulesConflict(Conflict):
    message = "Rule {rule_type} conflicts with rule {rule_id} which already exists in QoS Policy {policy_id}."


class QoSRuleParameterConflict(Conflict):
    message = (
        "A rule with value {value} contradicts rule {other_type} of policy {policy_id}, which has value {other_value}."
    )


class QosRuleNotSupported(Conflict):
    message = "Rule {rule_type} is not supported by port {port_id}"


class QosRuleNotSupportedByNetwork(Conflict):
    message = "Rule {rule_type} is not supported by network {network_id}"


class PolicyRemoveAuthorizationError(NotAuthorized):
    message = "Failed to remove provided policy {id} because you are not authorized."


class FloatingIPQosBindingNotFound(NotFound):
    message = "Floating IP {floatingip_id} does not have QoS policy {policy_id}."


class NetworkQosBindingNotFound(NotFound):
    message = "Network {network_id} does not have QoS policy {policy_id}."


class PortQosBindingNotFound(NotFound):
    message = "Port {port_id} does not have QoS policy {policy_id}."


class RouterQosBindingNotFound(NotFound):
    message = "The gateway of router {router_id} does not have QoS policy {policy_id}."


class QosPlacementAllocationConflict(Conflict):
    message = "Resource provider {resource_provider} lacks the bandwidth that {consumer} asks for."


class QosPlacementAllocationUpdateConflict(Conflict):
    message = "What {consumer} is allocated in Placement cannot change by {difference}: {reason}."


# Trunks.


class TrunkNotFound(NotFound):
    message = "Trunk {id} could not be found."


class TrunkInUse(InUse):
    message = "Trunk {id} is currently in use."


class TrunkDisabled(Conflict):
    message = "Trunk {id} is currently disabled."


class TrunkInErrorState(Conflict):
    message = "Trunk {id} is in error state: mend that first."


class TrunkPortInUse(InUse):
    message = "Port {port_id} is in use by another trunk."


class ParentPortInUse(InUse):
    message = "Port {port_id} is currently in use and is not eligible for use as a parent port."


class PortInUseAsTrunkParent(InUse):
    message = "Port {port_id} is currently a parent port for trunk {trunk_id}."


class PortInUseAsSubPort(InUse):
    message = "Port {port_id} is currently a subport for trunk {trunk_id}."


class SubPortNotFound(NotFound):
    message = "SubPort {port_id} on trunk {trunk_id} could not be found."


class DuplicateSubPort(InUse):
    message = (
        "segmentation_type {segmentation_type} and segmentation_id {segmentation_id} "
        "already in use on trunk {trunk_id}."
    )


class SubPortMtuGreaterThanTrunkPortMtu(Conflict):
    message = "MTU {port_mtu} of subport {port_id} cannot be greater than MTU {trunk_mtu} of trunk {trunk_id}."


class SubPortBindingError(Conflict):
    message = "Port {port_id} could not be bound as a subport of trunk {trunk_id}."


# Agents and scheduling.


class AgentNotFound(NotFound):
    message = "Agent {id} could not be found."


class AgentNotFoundByTypeHost(NotFound):
    message = "Agent with agent_type={agent_type} and host={host} could not be found."


class MultipleAgentFoundByTypeHost(Conflict):
    message = "Multiple agents with agent_type={agent_type} and host={host} found."


class InvalidDHCPAgent(AgentNotFound):
    message = "Agent {id} is not a valid DHCP Agent or has been disabled."


class NetworkHostedByDHCPAgent(Conflict):
    message = "The network {network_id} has been already hosted by the DHCP Agent {agent_id}."


class NetworkNotHostedByDhcpAgent(Conflict):
    message = "The network {network_id} is not hosted by the DHCP Agent {agent_id}."


class InvalidL3Agent(AgentNotFound):
    message = "Agent {id} is not a L3 Agent or has been disabled"


class RouterHostedByL3Agent(Conflict):
    message = "The router {router_id} has been already hosted by the L3 Agent {agent_id}."


class RouterNotHostedByL3Agent(Conflict):
    message = "The router {router_id} is not hosted by the L3 Agent {agent_id}."


class RouterL3AgentMismatch(Conflict):
    message = "Distributed router {router_id} cannot run on legacy L3 agent {agent_id}."


class RouterDoesntSupportScheduling(Conflict):
    message = "Router {router_id} does not support agent scheduling."


class RouterSchedulingFailed(Conflict):
    message = "Failed scheduling router {router_id} to the L3 Agent {agent_id}."


class RouterReschedulingFailed(Conflict):
    message = "Failed rescheduling router {router_id}: no eligible l3 agent found."


class DVRL3CannotAssignToDvrAgent(Conflict):
    message = "A router cannot be assigned by hand to an agent in 'dvr' mode."


class DVRL3CannotRemoveFromDvrAgent(Conflict):
    message = "A router cannot be removed by hand from an agent in 'dvr' mode."


class InvalidHAChassisPriority(BadRequest):
    message = "HA Chassis priority must be between 0 and 32767"


class HAChassisPriorityAlreadyAssigned(Conflict):
    message = "HA Chassis priority {priority} is already assigned"


# Auto-allocated topology, metering, flavors, logging.


class AutoAllocationFailure(Conflict):
    message = "Deployment error: {reason}."


class MeteringLabelNotFound(NotFound):
    message = "Metering label '{id}' does not exist."


class MeteringLabelRuleNotFound(NotFound):
    message = "Metering label rule '{id}' does not exist."


class MeteringLabelRuleOverlaps(Conflict):
    message = "Metering label rule with remote_ip_prefix '{prefix}' overlaps another."


class DuplicateMeteringRuleInPost(InUse):
    message = "Duplicate Metering Rule in POST."


class InvalidServiceType(InvalidInput):
    message = "Invalid service type: {service_type}."


class FlavorNotFound(NotFound):
    message = "Flavor {id} could not be found."


class FlavorInUse(InUse):
    message = "Flavor {id} is used by some service instance."


class FlavorDisabled(ServiceUnavailable):
    message = "Flavor is not enabled."


class FlavorServiceProfileBindingExists(Conflict):
    message = "Service Profile {id} is already associated with flavor {flavor_id}."


class FlavorServiceProfileBindingNotFound(NotFound):
    message = "Service Profile {service_profile_id} is not associated with flavor {flavor_id}."


class ServiceProfileNotFound(NotFound):
    message = "Service Profile {id} could not be found."


class ServiceProfileInUse(InUse):
    message = "Service Profile {id} is used by some service instance."


class ServiceProfileDisabled(ServiceUnavailable):
    message = "Service Profile is not enabled."


class ServiceProfileEmpty(InvalidInput):
    message = "Service Profile needs either a driver or metainfo."


class ServiceProfileDriverNotFound(NotFound):
    message = "Service Profile driver {driver} could not be found."


class ServiceProviderNotFound(InvalidInput):
    message = "Service provider '{provider}' could not be found for service type {service_type}"


class DefaultServiceProviderNotFound(InvalidInput):
    message = "Service type {service_type} does not have a default service provider"


class ServiceProviderAlreadyAssociated(Conflict):
    message = "Resource '{id}' is already associated with provider '{provider}' for service type '{service_type}'"


class LogResourceNotFound(NotFound):
    message = "Log resource {id} could not be found."


class ResourceNotFound(NotFound):
    message = "Resource {id} could not be found."


class TargetResourceNotFound(NotFound):
    message = "Target resource {id} could not be found."


class InvalidLogResourceType(InvalidInput):
    message = "Invalid log resource_type: {resource_type}."


class InvalidResourceConstraint(InvalidInput):
    message = "Target {target} {target_id} does not belong to {resource} {resource_id}."


class ResourceIdNotSpecified(InvalidInput):
    message = "resource_id should be specified for {resource_type}."


class EventsDisabled(InvalidInput):
    message = "Events {events} are disabled for {resource_type}."


class LoggingTypeNotSupported(Conflict):
    message = "Logging type {log_type} is not supported on port {port_id}: {reason}."
