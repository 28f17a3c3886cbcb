package sender

import (
	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// kind says in which part of a transaction something goes.
type kind int

// The kinds.
const (
	kindEvent kind = iota
	kindReceipt
	kindPresence
	kindMail    // a message to a device
	kindChanged // a user whose devices changed, or with whom a user of the service has come to share a room
	kindLeft    // a user with whom no user of the service shares a room any more
	kindKeys    // what a device has left of its keys
	kinds       // how many there are
)

// maxOfKind bounds what a transaction has of each kind. Nothing that came after what is left out is in the transaction either.
var maxOfKind = [kinds]int{
	kindEvent:    maxTxnEvents,
	kindReceipt:  500,
	kindPresence: 100,
	kindMail:     100,
	kindChanged:  500,
	kindLeft:     500,
	kindKeys:     100,
}

// item is something that waits to be sent. What has position 0 is not in the stream, and as good as sent when the process ends.
type item struct {
	pos  int64
	kind kind
	json []byte // of an event, a presence or a message: as it is sent

	user    id.UserID       // of kindChanged, kindLeft, kindKeys
	device  id.DeviceID     // of kindKeys
	left    store.KeyCounts // of kindKeys
	receipt *receipt        // of kindReceipt
}

// receipt is one receipt, on its way to become a part of an event for its room.
type receipt struct {
	event.Receipt
	roomID id.RoomID
}

// maxReceiptBytes bounds what a receipt adds beside its names.
const maxReceiptBytes = 160

// size bounds the bytes that an item adds to a transaction. All but events are there twice, under an old name and a new one.
func (i *item) size() int {
	switch i.kind {
	case kindEvent:
		return len(i.json) + 1
	case kindReceipt:
		r := i.receipt
		return 2 * (len(r.roomID) + len(r.EventID) + len(r.Type) + len(r.User) + len(r.Thread) + maxReceiptBytes)
	case kindKeys:
		return 2 * (2*len(i.user) + 2*len(i.device) + len(i.left.OneTime) + len(i.left.Fallback) + 24)
	}
	return 2 * (len(i.json) + len(i.user) + 3)
}
