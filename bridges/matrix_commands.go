package bridges

import (
	"strconv"

	"maunium.net/go/mautrix/bridgev2/commands"
	"maunium.net/go/mautrix/bridgev2/matrix"
	"maunium.net/go/mautrix/id"
)

// addMatrixCommands puts others in the place of those of bridgev2's Matrix side that take it to be the only one there is, and
// crash with this package's around it.
func (b *Bridge) addMatrixCommands() {
	discard, power, ping := *matrix.CommandDiscardMegolmSession, *matrix.CommandSetPowerLevel, *matrix.CommandPingMatrix
	discard.Func, power.Func, ping.Func = b.discardSession, b.setPower, b.pingMatrix
	b.v2.Commands.(*commands.Processor).AddHandlers(&discard, &power, &ping)
}

func (b *Bridge) discardSession(ce *commands.Event) {
	if b.conn.Crypto == nil {
		ce.Reply("This bridge does not encrypt.")
		return
	}
	b.conn.Crypto.ResetSession(ce.Ctx, ce.RoomID)
	ce.Reply("Done. The next message from the network comes with a new key.")
}

func (b *Bridge) setPower(ce *commands.Event) {
	user, args := ce.User.MXID, ce.Args
	if len(args) == 2 {
		user, args = id.UserID(args[0]), args[1:]
	}
	if len(args) != 1 {
		ce.Reply("**Usage:** `set-pl [user] <level>`")
		return
	}
	level, err := strconv.Atoi(args[0])
	if err != nil {
		ce.Reply("%q is not a power level.", args[0])
		return
	}
	if _, _, err := user.Parse(); err != nil {
		ce.Reply("%q is not a user ID.", user)
		return
	}
	if _, err := b.conn.Bot.SetPowerLevel(ce.Ctx, ce.RoomID, user, level); err != nil {
		ce.Reply("The power level cannot be set: %v", err)
		return
	}
	ce.React("✅️")
}

func (b *Bridge) pingMatrix(ce *commands.Event) {
	puppet, ok := ce.User.DoublePuppet(ce.Ctx).(*intent)
	if !ok {
		ce.Reply("You have no double puppet here.")
		return
	}
	who, err := puppet.Matrix.Whoami(ce.Ctx)
	if err != nil {
		ce.Reply("Your access token does not work: %v", err)
		return
	}
	ce.Reply("Your access token works. It is that of %s, device %q.", who.UserID, who.DeviceID)
}
