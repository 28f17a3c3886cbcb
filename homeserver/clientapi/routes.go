package clientapi

import (
	"slices"

	"causeway/homeserver/httpapi"
	"causeway/homeserver/identity"
	"causeway/homeserver/mail"
	"causeway/homeserver/threepid"
)

// Short names for the table.
const (
	public   = httpapi.Public
	optional = httpapi.Optional
	guest    = httpapi.Guest
	user     = httpapi.User
	service  = httpapi.AppService
	admin    = httpapi.Admin
)

// row is a route without the names of its fields.
type row struct {
	method, path string
	access       httpapi.Access
	endpoint     httpapi.Endpoint
}

func table(rows []row) []httpapi.Route {
	routes := make([]httpapi.Route, len(rows))
	for i, r := range rows {
		routes[i] = httpapi.Route{Method: r.method, Path: r.path, Access: r.access, Endpoint: r.endpoint}
	}
	return routes
}

// Routes is the client-server API.
func (a *API) Routes() []httpapi.Route {
	routes := table([]row{
		{"GET", "/.well-known/matrix/client", public, httpapi.JSON(a.wellKnownClient)},
		{"GET", "/.well-known/matrix/support", public, httpapi.JSON(a.wellKnownSupport)},
		{"GET", "/.well-known/oauth-authorization-server", public, httpapi.JSON(a.authMetadata)},
		{"GET", "/.well-known/openid-configuration", public, httpapi.JSON(a.authMetadata)},
		{"GET", "/_matrix/client/versions", public, httpapi.JSON(a.versions)},
		{"GET", "/_matrix/static/client/login/{$}", public, httpapi.Raw(a.loginPage)},
		{"GET", "/_synapse/admin/v1/register", public, httpapi.JSON(a.registrationNonce).Limited(httpapi.ClassRead)},
		{"POST", "/_synapse/admin/v1/register", public, httpapi.JSON(a.registerBySecret)},
		{"GET", threepid.ConfirmPath, public, httpapi.Raw(a.confirmPage).Limited(httpapi.ClassMail)},
		{"POST", threepid.ConfirmPath, public, httpapi.Raw(a.confirm).Limited(httpapi.ClassMail)},
		{"GET", identity.InvitationPath, public, httpapi.Raw(a.invitationPage).Limited(httpapi.ClassMail)},
		{"POST", identity.InvitationPath, public, httpapi.Raw(a.takeInvitation).Limited(httpapi.ClassMail)},
		{"POST", threepid.SubmitPath, public, httpapi.JSON(a.submitToken).Limited(httpapi.ClassMail)},
		{"POST", "/_matrix/client/v4/sync", user, httpapi.JSON(a.slidingSync)},
		{"POST", "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync", user, httpapi.JSON(a.unstableSlidingSync)},
	})
	routes = append(routes, httpapi.Under("/_matrix/client/v1", table(a.v1()))...)
	unstable := slices.Concat(a.unstable(), a.unstableDelayed(), a.unstableUser(), a.unstableKeys(), a.rendezvous())
	routes = append(routes, httpapi.Under("/_matrix/client/unstable", table(unstable))...)
	routes = append(routes, a.calls()...)
	return append(routes, httpapi.Under("/_matrix/client/(v3|r0)", table(slices.Concat(a.v3(), a.keyBackup())))...)
}

// v1 has the endpoints that are younger than /v3.
func (a *API) v1() []row {
	return []row{
		{"GET", "/auth_metadata", public, httpapi.JSON(a.authMetadata)},
		{"GET", "/register/m.login.registration_token/validity", public, httpapi.JSON(a.registrationTokenValidity).Limited(httpapi.ClassRegister)},
		{"POST", "/refresh", public, httpapi.JSON(a.refresh).Limited(httpapi.ClassRefresh)},
		{"POST", "/login/get_token", user, httpapi.JSON(ofOwner(a, a.getLoginToken)).Limited(httpapi.ClassLogin)},
		{"GET", "/admin/suspend/{userId}", admin, httpapi.JSON(a.suspended).Limited(httpapi.ClassRead)},
		{"PUT", "/admin/suspend/{userId}", admin, httpapi.JSON(a.suspend).Limited(httpapi.ClassAccountData)},
		{"GET", "/admin/lock/{userId}", admin, httpapi.JSON(a.locked).Limited(httpapi.ClassRead)},
		{"PUT", "/admin/lock/{userId}", admin, httpapi.JSON(a.lockOut).Limited(httpapi.ClassAccountData)},
		{"POST", "/appservice/{appserviceId}/ping", service, httpapi.JSON(a.pingAppService)},
		{"GET", "/rooms/{roomId}/relations/{eventId}", user, httpapi.JSON(a.relations).Limited(httpapi.ClassRead)},
		{"GET", "/rooms/{roomId}/relations/{eventId}/{relType}", user, httpapi.JSON(a.relations).Limited(httpapi.ClassRead)},
		{"GET", "/rooms/{roomId}/relations/{eventId}/{relType}/{eventType}", user, httpapi.JSON(a.relations).Limited(httpapi.ClassRead)},
		{"GET", "/rooms/{roomId}/threads", user, httpapi.JSON(a.threads).Limited(httpapi.ClassRead)},
		{"GET", "/rooms/{roomId}/timestamp_to_event", user, httpapi.JSON(a.timestampToEvent).Limited(httpapi.ClassRead)},
		{"GET", "/rooms/{roomId}/hierarchy", user, httpapi.JSON(a.hierarchy).Limited(httpapi.ClassDirectory)},
		{"GET", "/room_summary/{roomIdOrAlias}", optional, httpapi.JSON(a.roomSummary).Limited(httpapi.ClassDirectory)},
		{"GET", "/mutual_rooms", user, httpapi.JSON(a.mutualRooms).Limited(httpapi.ClassDirectory)},
		{"GET", "/delayed_events", guest, httpapi.JSON(a.delayedEvents).Limited(httpapi.ClassDelayed)},
		{"GET", "/delayed_events/{delayId}", guest, httpapi.JSON(a.delayedEvent).Limited(httpapi.ClassDelayed)},
		{"POST", "/delayed_events/{delayId}/{action}", guest, httpapi.JSON(a.manageDelayedEvent).Limited(httpapi.ClassDelayed)},
	}
}

// unstable has endpoints under the names that they had as proposals, which clients still call.
func (a *API) unstable() []row {
	return []row{
		{"GET", "/rooms/{roomId}/relations/{eventId}", user, httpapi.JSON(a.relations).Limited(httpapi.ClassRead)},
		{"GET", "/rooms/{roomId}/relations/{eventId}/{relType}", user, httpapi.JSON(a.relations).Limited(httpapi.ClassRead)},
		{"GET", "/rooms/{roomId}/relations/{eventId}/{relType}/{eventType}", user, httpapi.JSON(a.relations).Limited(httpapi.ClassRead)},
		{"GET", "/org.matrix.msc2965/auth_metadata", public, httpapi.JSON(a.authMetadata)},
		{"GET", "/org.matrix.msc2965/auth_issuer", public, httpapi.JSON(a.authIssuer)},
		{"GET", "/org.matrix.msc3856/rooms/{roomId}/threads", user, httpapi.JSON(a.threads).Limited(httpapi.ClassRead)},
		{"GET", "/org.matrix.msc3030/rooms/{roomId}/timestamp_to_event", user, httpapi.JSON(a.timestampToEvent).Limited(httpapi.ClassRead)},
		{"GET", "/uk.half-shot.msc2666/user/mutual_rooms", user, httpapi.JSON(a.mutualRoomsUnstable).Limited(httpapi.ClassDirectory)},
		{"GET", "/org.matrix.msc2946/rooms/{roomId}/hierarchy", user, httpapi.JSON(a.hierarchy).Limited(httpapi.ClassDirectory)},
		{"GET", "/im.nheko.summary/summary/{roomIdOrAlias}", optional, httpapi.JSON(a.roomSummaryUnstable).Limited(httpapi.ClassDirectory)},
		{"GET", "/io.element.msc4306/rooms/{roomId}/thread/{threadRootId}/subscription", user, httpapi.JSON(a.getThreadSubscription).Limited(httpapi.ClassRead)},
		{"PUT", "/io.element.msc4306/rooms/{roomId}/thread/{threadRootId}/subscription", user, httpapi.JSON(a.subscribeThread).Limited(httpapi.ClassEphemeral)},
		{"DELETE", "/io.element.msc4306/rooms/{roomId}/thread/{threadRootId}/subscription", user, httpapi.JSON(a.unsubscribeThread).Limited(httpapi.ClassEphemeral)},
		{"GET", "/io.element.msc4308/thread_subscriptions", user, httpapi.JSON(a.threadSubscriptions).Limited(httpapi.ClassRead)},
		{"POST", "/org.matrix.msc2918/refresh", public, httpapi.JSON(a.refresh).Limited(httpapi.ClassRefresh)},
		{"GET", "/uk.timedout.msc4323/admin/suspend/{userId}", admin, httpapi.JSON(a.suspended).Limited(httpapi.ClassRead)},
		{"PUT", "/uk.timedout.msc4323/admin/suspend/{userId}", admin, httpapi.JSON(a.suspend).Limited(httpapi.ClassAccountData)},
		{"GET", "/uk.timedout.msc4323/admin/lock/{userId}", admin, httpapi.JSON(a.locked).Limited(httpapi.ClassRead)},
		{"PUT", "/uk.timedout.msc4323/admin/lock/{userId}", admin, httpapi.JSON(a.lockOut).Limited(httpapi.ClassAccountData)},
		{"POST", "/com.beeper.backfill/rooms/{roomId}/batch_send", service, httpapi.JSON(a.batchSend).MaxBody(httpapi.LargeMaxBody).Limited(httpapi.ClassMessage)},
		{"POST", "/causeway/service_users", service, httpapi.JSON(a.serviceUsers)},
		{"GET", "/im.nheko.summary/rooms/{roomIdOrAlias}/summary", optional, httpapi.JSON(a.roomSummaryUnstable).Limited(httpapi.ClassDirectory)},
	}
}

// unstableDelayed has delayed events as they were before they were merged (MSC4140): who knows the id of one may act on it.
func (a *API) unstableDelayed() []row {
	const prefix = "/org.matrix.msc4140"
	return []row{
		{"PUT", prefix + "/rooms/{roomId}/delayed_event/{eventType}/{txnId}", guest, httpapi.JSON(a.delayEventUnstable).Limited(httpapi.ClassMessage).NotSuspended()},
		{"GET", prefix + "/delayed_events", guest, httpapi.JSON(a.delayedEventsUnstable).Limited(httpapi.ClassDelayed)},
		{"GET", prefix + "/delayed_events/{delayId}", guest, httpapi.JSON(a.delayedEventUnstable).Limited(httpapi.ClassDelayed)},
		{"POST", prefix + "/delayed_events/{delayId}", optional, httpapi.JSON(a.manageDelayedEventByBody).Limited(httpapi.ClassDelayed)},
		{"POST", prefix + "/delayed_events/{delayId}/{action}", optional, httpapi.JSON(a.manageDelayedEventUnstable).Limited(httpapi.ClassDelayed)},
	}
}

// unstableUser has what is kept for a user under the names of proposals.
func (a *API) unstableUser() []row {
	const (
		deletion = "/org.matrix.msc3391/user/{userId}"
		profile  = "/uk.tcpip.msc4133/profile/{userId}"
		profiles = profile + "/{keyName}"
	)
	return []row{
		{"DELETE", deletion + "/account_data/{type}", user, httpapi.JSON(a.deleteAccountData).Limited(httpapi.ClassAccountData)},
		{"DELETE", deletion + "/rooms/{roomId}/account_data/{type}", user, httpapi.JSON(a.deleteAccountData).Limited(httpapi.ClassAccountData)},
		{"GET", profile, optional, httpapi.JSON(a.profile).Limited(httpapi.ClassRead)},
		{"GET", profiles, optional, httpapi.JSON(a.profileField).Limited(httpapi.ClassRead)},
		{"PUT", profiles, user, httpapi.JSON(a.setProfileField).Limited(httpapi.ClassProfile).NotSuspended()},
		{"DELETE", profiles, user, httpapi.JSON(a.deleteProfileField).Limited(httpapi.ClassProfile).NotSuspended()},
	}
}

// unstableKeys has what concerns keys under the names of proposals.
func (a *API) unstableKeys() []row {
	const dehydrated = "/org.matrix.msc3814.v1/dehydrated_device"
	return []row{
		{"POST", "/keys/device_signing/upload", user, httpapi.JSON(a.uploadSigningKeys).Limited(httpapi.ClassDevice)},
		{"POST", "/keys/signatures/upload", user, httpapi.JSON(a.uploadSignatures).MaxBody(httpapi.LargeMaxBody).Limited(httpapi.ClassDevice)},
		{"PUT", dehydrated, user, httpapi.JSON(a.putDehydrated).MaxBody(httpapi.LargeMaxBody).Limited(httpapi.ClassDevice)},
		{"GET", dehydrated, user, httpapi.JSON(a.getDehydrated).Limited(httpapi.ClassDevice)},
		{"DELETE", dehydrated, user, httpapi.JSON(a.deleteDehydrated).Limited(httpapi.ClassDevice)},
		{"GET", dehydrated + "/{deviceId}/events", user, httpapi.JSON(a.getDehydratedEvents).Limited(httpapi.ClassDevice)},
		{"POST", dehydrated + "/{deviceId}/events", user, httpapi.JSON(a.dehydratedEvents).Limited(httpapi.ClassDevice)},
	}
}

func (a *API) v3() []row {
	return []row{
		// Login, registration, who one is. login, register and changePassword count attempts for themselves: those of an
		// application service are not limited, and asking for the flows is free.
		{"GET", "/login", public, httpapi.JSON(a.loginFlows)},
		{"POST", "/login", public, httpapi.JSON(a.login)},
		{"POST", "/refresh", public, httpapi.JSON(a.refresh).Limited(httpapi.ClassRefresh)},
		{"POST", "/logout", guest, httpapi.JSON(a.logout).EvenLocked()},
		{"POST", "/logout/all", guest, httpapi.JSON(a.logoutAll).EvenLocked()},
		{"POST", "/register", public, httpapi.JSON(a.register)},
		{"GET", "/register/available", public, httpapi.JSON(a.available).Limited(httpapi.ClassRegister)},
		{"POST", "/account/password", optional, httpapi.JSON(ofOwner(a, a.changePassword))},
		{"POST", "/account/deactivate", user, httpapi.JSON(ofOwner(a, a.deactivate)).Limited(httpapi.ClassAccountData)},
		{"GET", "/login/sso/redirect", public, httpapi.Raw(a.ssoRedirect).Limited(httpapi.ClassRead)},
		{"GET", "/login/sso/redirect/{idpId}", public, httpapi.Raw(a.ssoRedirectTo).Limited(httpapi.ClassRead)},
		{"GET", "/auth/{type}/fallback/web", public, httpapi.Raw(a.fallbackPage).Limited(httpapi.ClassRead)},
		{"POST", "/auth/{type}/fallback/web", public, httpapi.Raw(a.completeFallback).Limited(httpapi.ClassRegister)},
		{"GET", "/account/whoami", guest, httpapi.JSON(a.whoami)},
		{"GET", "/capabilities", user, httpapi.JSON(a.capabilities).Limited(httpapi.ClassRead)},
		{"GET", "/admin/whois/{userId}", user, httpapi.JSON(a.whois).Limited(httpapi.ClassRead)},
		{"GET", "/devices", guest, httpapi.JSON(a.devices).Limited(httpapi.ClassRead)},
		{"GET", "/devices/{deviceId}", guest, httpapi.JSON(a.device).Limited(httpapi.ClassRead)},
		{"PUT", "/devices/{deviceId}", guest, httpapi.JSON(a.updateDevice).Limited(httpapi.ClassAccountData)},
		{"DELETE", "/devices/{deviceId}", user, httpapi.JSON(a.deleteDevice).BodyOptional().Limited(httpapi.ClassAccountData)},
		{"POST", "/delete_devices", user, httpapi.JSON(a.deleteDevices).Limited(httpapi.ClassAccountData)},

		// Addresses and telephone numbers.
		{"GET", "/account/3pid", user, httpapi.JSON(a.threepids)},
		{"POST", "/account/3pid", user, httpapi.JSON(ofOwner(a, a.bindThreepidDeprecated)).Limited(httpapi.ClassMail)},
		{"POST", "/account/3pid/add", user, httpapi.JSON(ofOwner(a, a.addThreepid)).Limited(httpapi.ClassMail)},
		{"POST", "/account/3pid/bind", user, httpapi.JSON(ofOwner(a, a.bindThreepid)).Limited(httpapi.ClassMail)},
		{"POST", "/account/3pid/unbind", user, httpapi.JSON(ofOwner(a, a.unbindThreepid)).Limited(httpapi.ClassMail)},
		{"POST", "/account/3pid/delete", user, httpapi.JSON(ofOwner(a, a.deleteThreepid)).Limited(httpapi.ClassMail).NotSuspended()},
		{"POST", "/account/3pid/email/requestToken", optional, httpapi.JSON(ofOwner(a, a.requestToken(threepid.Add, mail.Email))).Limited(httpapi.ClassMail)},
		{"POST", "/account/3pid/msisdn/requestToken", optional, httpapi.JSON(ofOwner(a, a.requestToken(threepid.Add, mail.MSISDN))).Limited(httpapi.ClassMail)},
		{"POST", "/account/password/email/requestToken", public, httpapi.JSON(a.requestToken(threepid.Password, mail.Email)).Limited(httpapi.ClassMail)},
		{"POST", "/account/password/msisdn/requestToken", public, httpapi.JSON(a.requestToken(threepid.Password, mail.MSISDN)).Limited(httpapi.ClassMail)},
		{"POST", "/register/email/requestToken", public, httpapi.JSON(a.requestToken(threepid.Register, mail.Email)).Limited(httpapi.ClassMail)},
		{"POST", "/register/msisdn/requestToken", public, httpapi.JSON(a.requestToken(threepid.Register, mail.MSISDN)).Limited(httpapi.ClassMail)},

		// What is kept for a user.
		{"GET", "/profile/{userId}", optional, httpapi.JSON(a.profile).Limited(httpapi.ClassRead)},
		{"GET", "/profile/{userId}/{keyName}", optional, httpapi.JSON(a.profileField).Limited(httpapi.ClassRead)},
		{"PUT", "/profile/{userId}/{keyName}", guest, httpapi.JSON(a.setProfileField).Limited(httpapi.ClassProfile).NotSuspended()},
		{"DELETE", "/profile/{userId}/{keyName}", guest, httpapi.JSON(a.deleteProfileField).Limited(httpapi.ClassProfile).NotSuspended()},
		{"GET", "/user/{userId}/account_data/{type}", user, httpapi.JSON(a.getAccountData)},
		{"PUT", "/user/{userId}/account_data/{type}", user, httpapi.JSON(a.setAccountData).Limited(httpapi.ClassAccountData)},
		{"GET", "/user/{userId}/rooms/{roomId}/account_data/{type}", user, httpapi.JSON(a.getAccountData)},
		{"PUT", "/user/{userId}/rooms/{roomId}/account_data/{type}", user, httpapi.JSON(a.setAccountData).Limited(httpapi.ClassAccountData)},
		{"DELETE", "/user/{userId}/account_data/{type}", user, httpapi.JSON(a.deleteAccountData).Limited(httpapi.ClassAccountData)},
		{"DELETE", "/user/{userId}/rooms/{roomId}/account_data/{type}", user, httpapi.JSON(a.deleteAccountData).Limited(httpapi.ClassAccountData)},
		{"GET", "/user/{userId}/rooms/{roomId}/tags", user, httpapi.JSON(a.tags)},
		{"PUT", "/user/{userId}/rooms/{roomId}/tags/{tag}", user, httpapi.JSON(a.setTag).Limited(httpapi.ClassAccountData)},
		{"DELETE", "/user/{userId}/rooms/{roomId}/tags/{tag}", user, httpapi.JSON(a.deleteTag).Limited(httpapi.ClassAccountData)},
		{"GET", "/voip/turnServer", guest, httpapi.JSON(a.turnServer).Limited(httpapi.ClassOpenID)},
		{"POST", "/user/{userId}/openid/request_token", user, httpapi.JSON(a.requestOpenIDToken).BodyOptional().Limited(httpapi.ClassOpenID)},
		{"POST", "/user/{userId}/filter", user, httpapi.JSON(a.addFilter).Limited(httpapi.ClassAccountData)},
		{"GET", "/user/{userId}/filter/{filterId}", user, httpapi.JSON(a.getFilter)},
		{"GET", "/notifications", user, httpapi.JSON(a.notifications).Limited(httpapi.ClassRead)},
		{"GET", "/pushrules/{$}", user, httpapi.JSON(a.pushRules)},
		{"GET", "/pushrules/global/{$}", user, httpapi.JSON(a.globalPushRules)},
		{"GET", "/pushrules/global/{kind}/{ruleId}", user, httpapi.JSON(a.pushRule)},
		{"PUT", "/pushrules/global/{kind}/{ruleId}", user, httpapi.JSON(a.putPushRule).Limited(httpapi.ClassAccountData)},
		{"DELETE", "/pushrules/global/{kind}/{ruleId}", user, httpapi.JSON(a.deletePushRule).Limited(httpapi.ClassAccountData)},
		{"GET", "/pushrules/global/{kind}/{ruleId}/enabled", user, httpapi.JSON(a.pushRuleEnabled)},
		{"PUT", "/pushrules/global/{kind}/{ruleId}/enabled", user, httpapi.JSON(a.setPushRuleEnabled).Limited(httpapi.ClassAccountData)},
		{"GET", "/pushrules/global/{kind}/{ruleId}/actions", user, httpapi.JSON(a.pushRuleActions)},
		{"PUT", "/pushrules/global/{kind}/{ruleId}/actions", user, httpapi.JSON(a.setPushRuleActions).Limited(httpapi.ClassAccountData)},

		// Who is there.
		{"GET", "/presence/{userId}/status", user, httpapi.JSON(a.getPresence)},
		{"PUT", "/presence/{userId}/status", user, httpapi.JSON(a.setPresence).Limited(httpapi.ClassEphemeral).NotSuspended()},

		// Rooms: in and out.
		{"POST", "/createRoom", user, httpapi.JSON(a.createRoom).Limited(httpapi.ClassJoin).NotSuspended()},
		{"POST", "/join/{roomIdOrAlias}", guest, httpapi.JSON(a.join).BodyOptional().Limited(httpapi.ClassJoin).NotSuspended()},
		{"POST", "/knock/{roomIdOrAlias}", user, httpapi.JSON(a.knock).BodyOptional().Limited(httpapi.ClassJoin).NotSuspended()},
		{"POST", "/rooms/{roomId}/join", guest, httpapi.JSON(a.join).BodyOptional().Limited(httpapi.ClassJoin).NotSuspended()},
		{"POST", "/rooms/{roomId}/invite", user, httpapi.JSON(a.invite).Limited(httpapi.ClassInvite).NotSuspended()},
		{"POST", "/rooms/{roomId}/leave", guest, httpapi.JSON(a.leave).BodyOptional().Limited(httpapi.ClassMessage)},
		{"POST", "/rooms/{roomId}/forget", user, httpapi.JSON(a.forget).Limited(httpapi.ClassAccountData)},
		{"POST", "/rooms/{roomId}/kick", user, httpapi.JSON(a.kick).Limited(httpapi.ClassInvite).NotSuspended()},
		{"POST", "/rooms/{roomId}/ban", user, httpapi.JSON(a.ban).Limited(httpapi.ClassInvite).NotSuspended()},
		{"POST", "/rooms/{roomId}/unban", user, httpapi.JSON(a.unban).Limited(httpapi.ClassInvite).NotSuspended()},
		{"POST", "/rooms/{roomId}/upgrade", user, httpapi.JSON(a.upgradeRoom).Limited(httpapi.ClassJoin).NotSuspended()},
		{"GET", "/joined_rooms", user, httpapi.JSON(a.joinedRooms).Limited(httpapi.ClassRead)},
		{"GET", "/directory/room/{roomAlias}", optional, httpapi.JSON(a.getAlias).Limited(httpapi.ClassDirectory)},
		{"PUT", "/directory/room/{roomAlias}", user, httpapi.JSON(a.putAlias).Limited(httpapi.ClassDirectory).NotSuspended()},
		{"DELETE", "/directory/room/{roomAlias}", user, httpapi.JSON(a.deleteAlias).Limited(httpapi.ClassDirectory).NotSuspended()},
		{"GET", "/rooms/{roomId}/aliases", user, httpapi.JSON(a.roomAliases).Limited(httpapi.ClassRead)},
		{"GET", "/directory/list/room/{roomId}", optional, httpapi.JSON(a.getVisibility).Limited(httpapi.ClassDirectory)},
		{"PUT", "/directory/list/room/{roomId}", user, httpapi.JSON(a.setVisibility).Limited(httpapi.ClassDirectory).NotSuspended()},
		{"PUT", "/directory/list/appservice/{networkId}/{roomId}", service, httpapi.JSON(a.setNetworkVisibility)},
		{"DELETE", "/directory/list/appservice/{networkId}/{roomId}", service, httpapi.JSON(a.dropNetworkVisibility)},
		{"GET", "/publicRooms", optional, httpapi.JSON(a.publicRooms).Limited(httpapi.ClassDirectory)},
		{"POST", "/publicRooms", user, httpapi.JSON(a.searchPublicRooms).Limited(httpapi.ClassDirectory)},

		// Networks that application services bridge.
		{"GET", "/thirdparty/protocols", user, httpapi.JSON(a.protocols).Limited(httpapi.ClassDirectory)},
		{"GET", "/thirdparty/protocol/{protocol}", user, httpapi.JSON(a.protocol).Limited(httpapi.ClassDirectory)},
		{"GET", "/thirdparty/user", user, httpapi.JSON(a.networkUsersOf).Limited(httpapi.ClassDirectory)},
		{"GET", "/thirdparty/user/{protocol}", user, httpapi.JSON(a.networkUsers).Limited(httpapi.ClassDirectory)},
		{"GET", "/thirdparty/location", user, httpapi.JSON(a.networkLocationsOf).Limited(httpapi.ClassDirectory)},
		{"GET", "/thirdparty/location/{protocol}", user, httpapi.JSON(a.networkLocations).Limited(httpapi.ClassDirectory)},

		// Rooms: what is said.
		{"PUT", "/rooms/{roomId}/send/{eventType}/{txnId}", guest, httpapi.Dynamic(a.sendEvent).Limited(httpapi.ClassMessage)},
		{"PUT", "/rooms/{roomId}/state/{eventType}/{$}", guest, httpapi.Dynamic(a.sendState).Limited(httpapi.ClassMessage)},
		{"PUT", "/rooms/{roomId}/state/{eventType}/{stateKey}", guest, httpapi.Dynamic(a.sendState).Limited(httpapi.ClassMessage)},
		{"PUT", "/rooms/{roomId}/delayed_event/{eventType}/{txnId}", guest, httpapi.JSON(a.delayEvent).Limited(httpapi.ClassMessage).NotSuspended()},
		{"PUT", "/rooms/{roomId}/redact/{eventId}/{txnId}", user, httpapi.JSON(a.redact).BodyOptional().Limited(httpapi.ClassMessage)},
		{"POST", "/rooms/{roomId}/report/{eventId}", user, httpapi.JSON(a.reportEvent).Limited(httpapi.ClassReport)},
		{"POST", "/rooms/{roomId}/report", user, httpapi.JSON(a.reportRoom).Limited(httpapi.ClassReport)},
		{"POST", "/users/{userId}/report", user, httpapi.JSON(a.reportUser).Limited(httpapi.ClassReport)},
		{"GET", "/rooms/{roomId}/state", guest, httpapi.JSON(a.getState).Limited(httpapi.ClassRead)},
		{"GET", "/rooms/{roomId}/state/{eventType}/{$}", guest, httpapi.JSON(a.getStateEvent).Limited(httpapi.ClassRead)},
		{"GET", "/rooms/{roomId}/state/{eventType}/{stateKey}", guest, httpapi.JSON(a.getStateEvent).Limited(httpapi.ClassRead)},
		{"GET", "/rooms/{roomId}/messages", guest, httpapi.JSON(a.messages).Limited(httpapi.ClassRead)},
		{"GET", "/rooms/{roomId}/event/{eventId}", guest, httpapi.JSON(a.getEvent).Limited(httpapi.ClassRead)},
		{"GET", "/rooms/{roomId}/context/{eventId}", guest, httpapi.JSON(a.eventContext).Limited(httpapi.ClassRead)},
		{"GET", "/rooms/{roomId}/members", guest, httpapi.JSON(a.members).Limited(httpapi.ClassRead)},
		{"GET", "/rooms/{roomId}/joined_members", user, httpapi.JSON(a.joinedMembers).Limited(httpapi.ClassRead)},
		{"PUT", "/rooms/{roomId}/typing/{userId}", user, httpapi.JSON(a.setTyping).Limited(httpapi.ClassEphemeral).NotSuspended()},
		{"POST", "/rooms/{roomId}/receipt/{receiptType}/{eventId}", user, httpapi.JSON(a.setReceipt).BodyOptional().Limited(httpapi.ClassEphemeral)},
		{"POST", "/rooms/{roomId}/read_markers", user, httpapi.JSON(a.setReadMarkers).Limited(httpapi.ClassEphemeral)},
		{"GET", "/sync", guest, httpapi.JSON(a.sync)},
		{"GET", "/rooms/{roomId}/initialSync", guest, httpapi.JSON(a.roomInitialSync).Limited(httpapi.ClassRead)},
		{"GET", "/events", guest, httpapi.JSON(a.events)},

		// What is looked for.
		{"POST", "/search", user, httpapi.JSON(a.search).Limited(httpapi.ClassSearch)},
		{"POST", "/user_directory/search", user, httpapi.JSON(a.searchUsers).Limited(httpapi.ClassDirectory)},
		// Devices among each other.
		{"PUT", "/sendToDevice/{eventType}/{txnId}", guest, httpapi.JSON(a.sendToDevice).MaxBody(httpapi.LargeMaxBody).Limited(httpapi.ClassDevice)},
		{"POST", "/keys/upload", guest, httpapi.JSON(a.uploadKeys).MaxBody(httpapi.LargeMaxBody).Limited(httpapi.ClassDevice)},
		{"POST", "/keys/query", guest, httpapi.JSON(a.queryKeys).MaxBody(httpapi.LargeMaxBody).Limited(httpapi.ClassDevice)},
		{"POST", "/keys/claim", guest, httpapi.JSON(a.claimKeys).MaxBody(httpapi.LargeMaxBody).Limited(httpapi.ClassDevice)},
		{"POST", "/keys/device_signing/upload", user, httpapi.JSON(a.uploadSigningKeys).Limited(httpapi.ClassDevice)},
		{"POST", "/keys/signatures/upload", user, httpapi.JSON(a.uploadSignatures).MaxBody(httpapi.LargeMaxBody).Limited(httpapi.ClassDevice)},
		{"GET", "/keys/changes", user, httpapi.JSON(a.keyChanges).Limited(httpapi.ClassDevice)},

		// What there was before /sync. It answers only where the configuration has it.
		{"GET", "/events/{eventId}", user, httpapi.JSON(a.oldEvent).Limited(httpapi.ClassRead)},
		{"GET", "/initialSync", user, httpapi.JSON(a.initialSync).Limited(httpapi.ClassSearch)},
	}
}
