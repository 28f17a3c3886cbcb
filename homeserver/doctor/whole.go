package doctor

import (
	"fmt"
	"slices"

	"causeway/homeserver/store"
)

// maxEngineFindings bounds what the engine is asked to tell of its damage.
const maxEngineFindings = 100

func (c *checker) checkEngine(tx *store.Tx) error {
	damage, unchecked, err := tx.AuditEngine(maxEngineFindings)
	if err != nil {
		return err
	}
	for _, d := range damage {
		c.report.add(KindEngine, Fault{Text: d})
	}
	for _, u := range unchecked {
		c.report.note("%s", u)
	}
	return nil
}

// checkServer looks at what there is one of: whose database this is, how it is ordered, what an upgrade has left.
func (c *checker) checkServer(tx *store.Tx) error {
	if name := c.report.Server; name != "" && c.ServerName != "" && name != c.ServerName {
		c.report.add(KindServer, Fault{Table: "server", Text: fmt.Sprintf("it is that of %s, and server_name says %s", name, c.ServerName)})
	}
	missing, err := tx.AuditSchema()
	if err != nil {
		return err
	}
	for _, name := range missing {
		c.report.add(KindSchema, Fault{Text: name + " is missing"})
	}
	columns, err := tx.AuditCollations()
	if err != nil {
		return err
	}
	for _, column := range columns {
		c.report.add(KindCollation, Fault{Text: column})
	}
	chores, err := tx.AuditChores()
	if err != nil {
		return err
	}
	for _, name := range chores {
		c.report.add(KindChores, Fault{Table: "chores", Text: name})
	}
	if c.hashed, err = tx.AuditStateKey(); err == nil && !c.hashed {
		c.report.add(KindStateSet, Fault{Table: "secrets", Text: "the secret by which states are found again is missing; their hashes were not verified"})
	}
	return err
}

func (c *checker) checkStream(tx *store.Tx) error {
	wrong, err := tx.AuditStream()
	if err != nil {
		return err
	}
	for _, text := range wrong {
		c.report.add(KindStream, Fault{Table: "stream", Text: text})
	}
	double, err := tx.AuditDoublePositions(maxExamples)
	for _, pos := range double {
		c.report.add(KindStream, Fault{Table: "events", Text: fmt.Sprintf("more than one event has position %d", pos)})
	}
	return err
}

func (c *checker) checkOrphans(tx *store.Tx) error {
	all, err := tx.AuditOrphans(maxExamples)
	for _, o := range all {
		for i := range o.Count {
			f := Fault{Table: o.Table}
			if int(i) < len(o.Rows) {
				f.Text = fmt.Sprintf("%s: the %s is not there", o.Rows[i], o.Missing)
			} else {
				f.Text = fmt.Sprintf("another row whose %s is not there", o.Missing)
			}
			c.report.add(KindOrphan, f)
		}
	}
	return err
}

// used remembers which texts something refers to.
type used struct {
	nids []int64
	yes  []bool
}

func (u *used) mark(nid int64) (known bool) {
	i, known := slices.BinarySearch(u.nids, nid)
	if known {
		u.yes[i] = true
	}
	return known
}

func (c *checker) loadStrings(tx *store.Tx) (err error) {
	c.strings.nids, err = tx.AuditStrings()
	c.strings.yes = make([]bool, len(c.strings.nids))
	return err
}

// countStrings counts the texts that nothing refers to. They do no harm.
func (c *checker) countStrings(tx *store.Tx) error {
	if err := tx.AuditUsers(func(nid int64) { c.strings.mark(nid) }); err != nil {
		return err
	}
	for _, yes := range c.strings.yes {
		if !yes {
			c.report.Checked.UnusedStrings++
		}
	}
	if n := c.report.Checked.UnusedStrings; n > 0 {
		c.report.note("%d texts (user ids, types, state keys) are not used by anything any more. They do no harm.", n)
	}
	return nil
}
