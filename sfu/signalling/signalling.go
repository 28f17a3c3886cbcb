// Package signalling is the signal protocol of LiveKit, which the clients of MatrixRTC speak with an SFU: the messages that
// they need, in protocol buffers' wire format, and no others. Frames of the WebSocket are one SignalRequest from the client, or one
// SignalResponse from the server, each. Names and numbers of fields are those of livekit_rtc.proto and livekit_models.proto
// (github.com/livekit/protocol, Apache-2.0); what is not named here is skipped when it is read.
//
// It parses what strangers send, so all of it is bounded. It holds no state, and knows no peer connections.
package signalling

// Marshal gives a message in wire format. The message is a pointer to a struct of this package.
func Marshal(message any) []byte {
	return appendMessage(nil, structOf(message))
}

// Unmarshal reads a message in wire format into a pointer to a struct of this package, which is empty. Errors name the field,
// by its number, that cannot be read; what was read until then stays in the message.
func Unmarshal(data []byte, message any) error {
	left := maxElements
	return parseMessage(data, structOf(message), bounds{left: &left})
}
