package sae

// topK fills index and value (both of length k <= len(scores)) with the k largest scores, in no useful order. Of equal
// scores those with the smaller index are taken, as XLA's TopK does. Scores that are NaN are never above others.
func topK(scores []float32, index []int32, value []float32) {
	k := len(index)
	for i := range k {
		index[i], value[i] = int32(i), scores[i]
	}
	for i := k/2 - 1; i >= 0; i-- {
		siftDown(index, value, i)
	}
	least := value[0]
	for i := k; i < len(scores); i++ {
		if s := scores[i]; s > least {
			index[0], value[0] = int32(i), s
			siftDown(index, value, 0)
			least = value[0]
		}
	}
}

// topKAmong is topK over the scores at the given ascending places only.
func topKAmong(scores []float32, among []int32, index []int32, value []float32) {
	k := len(index)
	for i := range k {
		index[i], value[i] = among[i], scores[among[i]]
	}
	for i := k/2 - 1; i >= 0; i-- {
		siftDown(index, value, i)
	}
	for _, at := range among[k:] {
		if s := scores[at]; s > value[0] {
			index[0], value[0] = at, s
			siftDown(index, value, 0)
		}
	}
}

// siftDown restores the heap below i. The root is the entry to drop first: the smallest value, the largest index.
func siftDown(index []int32, value []float32, i int) {
	n := len(index)
	at, v := index[i], value[i]
	for {
		child := 2*i + 1
		if child >= n {
			break
		}
		if r := child + 1; r < n && dropsFirst(value[r], index[r], value[child], index[child]) {
			child = r
		}
		if !dropsFirst(value[child], index[child], v, at) {
			break
		}
		index[i], value[i] = index[child], value[child]
		i = child
	}
	index[i], value[i] = at, v
}

func dropsFirst(a float32, ai int32, b float32, bi int32) bool {
	return a < b || a == b && ai > bi
}
