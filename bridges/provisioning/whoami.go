package provisioning

import (
	"context"

	"maunium.net/go/mautrix/bridgev2/matrix"
	"maunium.net/go/mautrix/bridgev2/status"
)

// whoami tells who asks, and how their logins are. GET /v3/whoami. bridgev2's own reads states while they change.
func (a *API) whoami(_ context.Context, p person) (any, error) {
	network := a.bridge.Network
	answer := &matrix.RespWhoami{
		Network: network.GetName(), LoginFlows: network.GetLoginFlows(), Homeserver: a.bridge.Matrix.ServerName(),
		BridgeBot: a.bridge.Bot.GetMXID(), CommandPrefix: a.bridge.Config.CommandPrefix,
		ManagementRoom: p.ManagementRoom, Logins: []matrix.RespWhoamiLogin{},
	}
	for _, login := range p.GetUserLogins() {
		state, called := a.stateOf(login.ID), login.FillBridgeState(status.BridgeState{})
		// What is beside it in the answer.
		state.UserID, state.RemoteID, state.RemoteName, state.RemoteProfile = "", "", "", status.RemoteProfile{}
		answer.Logins = append(answer.Logins, matrix.RespWhoamiLogin{
			StateEvent: state.StateEvent, StateTS: state.Timestamp, StateReason: state.Reason, StateInfo: state.Info, State: state,
			ID: login.ID, Name: called.RemoteName, Profile: called.RemoteProfile, SpaceRoom: login.SpaceRoom,
		})
	}
	return answer, nil
}
