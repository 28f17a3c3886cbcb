package track

// Probe sends about so many bytes again of what was sent last, to find out whether more comes through to the subscriber, and tells how many it
// has sent: none where the subscriber takes no packets again by their own stream. RFC 4588.
func (d *Down) Probe(bytes int) (sent int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.bound || !d.ready || d.closed || d.rtx.ssrc == 0 || d.rtx.pt == 0 || !d.numbers.started {
		return 0
	}
	for back := uint16(0); sent < bytes && back < maxProbe; back++ {
		e := d.sent.find(d.numbers.last.seq - back)
		if e == nil {
			break
		}
		p, ok := d.kept(e)
		if !ok {
			break
		}
		if p.Frame.VP8.Size > 0 {
			p.Frame.VP8.Rewrite(p.Payload, e.picture, e.tl0, e.keyIdx)
		}
		d.sendRTX(e, p)
		sent += len(p.Payload)
	}
	return sent
}

// maxProbe is how many packets are sent again at most for one probe.
const maxProbe = 64
