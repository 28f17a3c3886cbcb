-- An XMPP server for trying the bridge: no encryption, no other servers, and a
-- component secret that everyone knows.
daemonize = false
data_path = "/var/lib/prosody"
pidfile = "/var/lib/prosody/prosody.pid"
plugin_paths = { "/usr/lib/prosody/modules-extra", "/usr/share/prosody-modules" }
log = { info = "*console" }
interfaces = { "0.0.0.0" }
local_interfaces = { "0.0.0.0" }
c2s_ports = { 5222 }
component_interfaces = { "0.0.0.0" }
component_ports = { 5347 }
http_interfaces = { "0.0.0.0" }
http_ports = { 5280 }
https_ports = {}
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
authentication = "internal_plain"
storage = "internal"
modules_enabled = {
	"roster", "saslauth", "disco", "carbons", "pep", "private", "blocklist", "vcard4", "vcard_legacy", "ping",
	"mam", "smacks", "csi_simple", "bookmarks", "offline", "time", "version",
}
modules_disabled = { "tls", "posix", "s2s" }

VirtualHost "xmpp.test"

Component "rooms.xmpp.test" "muc"
	modules_enabled = { "muc_mam", "vcard_muc" }
	restrict_room_creation = false

Component "upload.xmpp.test" "http_file_share"
	http_file_share_access = { "xmpp.test", "matrix.xmpp.test" }

Component "matrix.xmpp.test"
	component_secret = "componentsecret"
	modules_enabled = { "privilege" }
