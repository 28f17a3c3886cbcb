package irc

import (
	"fmt"

	"maunium.net/go/mautrix/event"
)

// mediaWords begin the line that stands for a file.
var mediaWords = map[event.MessageType]string{
	event.MsgImage: "an image", event.MsgVideo: "a video", event.MsgAudio: "an audio file", event.MsgFile: "a file",
	event.MessageType(event.CapMsgSticker): "a sticker",
}

// bodyLines are the lines of a message as plain text. Formatting is left to the body, which Matrix clients write
// for readers without it. A file becomes a line with its name and address, and its caption follows.
func bodyLines(content *event.MessageEventContent) []string {
	var lines []string
	switch what, isMedia := mediaWords[content.MsgType]; {
	case isMedia:
		url := string(content.URL)
		if content.File != nil {
			url = string(content.File.URL)
		}
		lines = append(lines, oneLine(fmt.Sprintf("sent %s: %s %s", what, content.GetFileName(), url)))
		lines = append(lines, textLines(content.GetCaption())...)
	case content.MsgType == event.MsgLocation:
		lines = textLines(content.Body + " " + content.GeoURI)
	default:
		lines = textLines(content.Body)
	}
	return lines
}
