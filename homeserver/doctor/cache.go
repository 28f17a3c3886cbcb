package doctor

// cache keeps what was used of late, within twice a limit of cost.
type cache[K comparable, V any] struct {
	limit, cost int
	young, old  map[K]cached[V]
}

type cached[V any] struct {
	value V
	cost  int
}

func (c *cache[K, V]) get(key K) (V, bool) {
	if v, ok := c.young[key]; ok {
		return v.value, true
	}
	v, ok := c.old[key]
	if ok {
		c.put(key, v.value, v.cost)
	}
	return v.value, ok
}

func (c *cache[K, V]) put(key K, value V, cost int) {
	if c.young == nil || c.cost+cost > c.limit {
		c.old, c.young, c.cost = c.young, make(map[K]cached[V]), 0
	}
	c.young[key] = cached[V]{value, cost}
	c.cost += cost
}
