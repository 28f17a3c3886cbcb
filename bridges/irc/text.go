package irc

import "maunium.net/go/mautrix/event"

// mediaWords begin the line that stands for a file.
var mediaWords = map[event.MessageType]string{
	event.MsgImage: "an image", event.MsgVideo: "a video", event.MsgAudio: "an audio file", event.MsgFile: "a file",
	event.MessageType(event.CapMsgSticker): "a sticker",
}
