package torchzip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Limits of the machine: instructions, and so values on the stack and in the memo, and the bytes of one text.
const (
	maxOps  = 1 << 21
	maxText = 1 << 20
)

// list is a Python list while the machine runs; the memo may hold it before its elements are known.
type list struct{ items []any }

// machine interprets a pickle of torch.save. It can build values and nothing else.
type machine struct {
	code     []byte
	pos      int
	stack    []any
	marks    []int // heights of the stack at each open mark
	memo     map[uint32]any
	storages map[string][]byte
	bytes    func(key string) ([]byte, error) // the bytes of a storage
}

var errCut = errors.New("the pickle is cut short")

// run executes the program up to STOP and returns its one value.
func (m *machine) run() (any, error) {
	m.memo = map[uint32]any{}
	for range maxOps {
		at := m.pos
		op, err := m.take(1)
		if err != nil {
			return nil, err
		}
		if op[0] == opStop {
			root, err := m.pop()
			if err == nil && (len(m.stack) != 0 || len(m.marks) != 0) {
				err = errors.New("values are left over at the end")
			}
			return root, err
		}
		if err := m.step(op[0]); err != nil {
			return nil, fmt.Errorf("instruction at byte %d: %w", at, err)
		}
	}
	return nil, fmt.Errorf("more than %d instructions; save a state_dict, which names tensors only", maxOps)
}

// The instructions that the machine knows.
const (
	opMark           = '('
	opStop           = '.'
	opPop            = '0'
	opPopMark        = '1'
	opBinFloat       = 'G'
	opBinInt         = 'J'
	opBinInt1        = 'K'
	opBinInt2        = 'M'
	opNone           = 'N'
	opBinPersID      = 'Q'
	opReduce         = 'R'
	opBinUnicode     = 'X'
	opAppend         = 'a'
	opBuild          = 'b'
	opGlobal         = 'c'
	opAppends        = 'e'
	opBinGet         = 'h'
	opLongBinGet     = 'j'
	opBinPut         = 'q'
	opLongBinPut     = 'r'
	opSetItem        = 's'
	opTuple          = 't'
	opSetItems       = 'u'
	opBinBytes       = 'B'
	opShortBinBytes  = 'C'
	opEmptyTuple     = ')'
	opEmptyList      = ']'
	opEmptyDict      = '}'
	opProto          = 0x80
	opTuple1         = 0x85
	opTuple3         = 0x87
	opNewTrue        = 0x88
	opNewFalse       = 0x89
	opLong1          = 0x8a
	opShortBinText   = 0x8c
	opBinUnicode8    = 0x8d
	opStackGlobal    = 0x93
	opMemoize        = 0x94
	opFrame          = 0x95
	lastProto        = 5
	frameLengthBytes = 8
)

// step executes one instruction.
func (m *machine) step(op byte) error {
	switch op {
	case opProto:
		b, err := m.take(1)
		if err == nil && b[0] > lastProto {
			err = fmt.Errorf("protocol %d; save the file with pickle_protocol=2", b[0])
		}
		return err
	case opFrame:
		_, err := m.take(frameLengthBytes)
		return err
	case opMark:
		m.marks = append(m.marks, len(m.stack))
		return nil
	case opPop:
		_, err := m.pop()
		return err
	case opPopMark:
		_, err := m.popMark()
		return err
	case opNone:
		return m.push(nil)
	case opNewTrue:
		return m.push(true)
	case opNewFalse:
		return m.push(false)
	case opEmptyTuple:
		return m.push(Tuple{})
	case opEmptyList:
		return m.push(&list{})
	case opEmptyDict:
		return m.push(&Dict{})
	case opBinInt, opBinInt1, opBinInt2, opLong1, opBinFloat:
		return m.number(op)
	case opBinUnicode, opShortBinText, opBinUnicode8, opBinBytes, opShortBinBytes:
		return m.text(op)
	case opBinGet, opLongBinGet, opBinPut, opLongBinPut, opMemoize:
		return m.remember(op)
	case opTuple, opTuple1, opTuple1 + 1, opTuple3:
		return m.tuple(op)
	case opAppend, opAppends:
		return m.extend(op)
	case opSetItem, opSetItems:
		return m.setItems(op)
	case opGlobal, opStackGlobal:
		return m.global(op)
	case opReduce:
		return m.reduce()
	case opBinPersID:
		return m.storage()
	case opBuild:
		// torch.save stores the attributes of an OrderedDict (_metadata), which no reader of weights needs.
		if _, err := m.pop(); err != nil {
			return err
		}
		if len(m.stack) == m.floor() {
			return errCut
		}
		if _, ok := m.stack[len(m.stack)-1].(*Dict); !ok {
			return fmt.Errorf("BUILD on a %s is refused; save a state_dict, a dictionary of tensors", kindOf(m.stack[len(m.stack)-1]))
		}
		return nil
	}
	if name, ok := refused[op]; ok {
		return fmt.Errorf("%s is refused: it makes objects of arbitrary classes; save a state_dict, a dictionary of tensors", name)
	}
	return fmt.Errorf("unknown instruction 0x%02x; save a state_dict with pickle_protocol=2", op)
}

// refused names the instructions that construct or import and that no file of tensors needs.
var refused = map[byte]string{
	'i': "INST", 'o': "OBJ", 'P': "PERSID", 0x81: "NEWOBJ", 0x92: "NEWOBJ_EX", 0x82: "EXT1", 0x83: "EXT2", 0x84: "EXT4",
}

// take returns the next n bytes of the program.
func (m *machine) take(n int) ([]byte, error) {
	if n < 0 || n > len(m.code)-m.pos {
		return nil, errCut
	}
	b := m.code[m.pos : m.pos+n]
	m.pos += n
	return b, nil
}

func (m *machine) push(v any) error {
	m.stack = append(m.stack, v)
	return nil
}

// floor is the height below which the stack belongs to an open mark.
func (m *machine) floor() int {
	if len(m.marks) == 0 {
		return 0
	}
	return m.marks[len(m.marks)-1]
}

func (m *machine) pop() (any, error) {
	if len(m.stack) <= m.floor() {
		return nil, errors.New("the stack is empty")
	}
	v := m.stack[len(m.stack)-1]
	m.stack = m.stack[:len(m.stack)-1]
	return v, nil
}

// popMark takes the values above the last mark, and the mark. They are valid until the next push.
func (m *machine) popMark() ([]any, error) {
	if len(m.marks) == 0 {
		return nil, errors.New("no mark is open")
	}
	floor := m.floor()
	items := m.stack[floor:]
	m.stack, m.marks = m.stack[:floor], m.marks[:len(m.marks)-1]
	return items, nil
}

func (m *machine) number(op byte) error {
	size := map[byte]int{opBinInt: 4, opBinInt1: 1, opBinInt2: 2, opBinFloat: 8, opLong1: 1}[op]
	b, err := m.take(size)
	if err != nil {
		return err
	}
	switch op {
	case opBinInt:
		return m.push(int64(int32(binary.LittleEndian.Uint32(b))))
	case opBinInt1:
		return m.push(int64(b[0]))
	case opBinInt2:
		return m.push(int64(binary.LittleEndian.Uint16(b)))
	case opBinFloat:
		return m.push(math.Float64frombits(binary.BigEndian.Uint64(b)))
	}
	n := int(b[0]) // LONG1: two's complement, little-endian
	if n > 8 {
		return fmt.Errorf("an integer of %d bytes; 8 at most are read", n)
	}
	if b, err = m.take(n); err != nil {
		return err
	}
	var wide [8]byte
	if n > 0 && b[n-1]&0x80 != 0 {
		wide = [8]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	}
	copy(wide[:], b)
	return m.push(int64(binary.LittleEndian.Uint64(wide[:])))
}

// text pushes a string or bytes.
func (m *machine) text(op byte) error {
	size := map[byte]int{opBinUnicode: 4, opShortBinText: 1, opBinUnicode8: 8, opBinBytes: 4, opShortBinBytes: 1}[op]
	b, err := m.take(size)
	if err != nil {
		return err
	}
	var wide [8]byte
	copy(wide[:], b)
	n := binary.LittleEndian.Uint64(wide[:])
	if n > maxText {
		return fmt.Errorf("a text of %d bytes, above the limit of %d", n, maxText)
	}
	if b, err = m.take(int(n)); err != nil {
		return err
	}
	if op == opBinBytes || op == opShortBinBytes {
		return m.push(append([]byte(nil), b...))
	}
	return m.push(string(b))
}

// remember stores the top of the stack in the memo, or pushes what was stored.
func (m *machine) remember(op byte) error {
	index := uint32(len(m.memo)) // MEMOIZE takes the next number
	if op != opMemoize {
		size := 1
		if op == opLongBinGet || op == opLongBinPut {
			size = 4
		}
		b, err := m.take(size)
		if err != nil {
			return err
		}
		var wide [4]byte
		copy(wide[:], b)
		index = binary.LittleEndian.Uint32(wide[:])
	}
	if op == opBinGet || op == opLongBinGet {
		v, ok := m.memo[index]
		if !ok {
			return fmt.Errorf("nothing was stored as number %d", index)
		}
		return m.push(v)
	}
	if len(m.stack) == m.floor() {
		return errors.New("the stack is empty")
	}
	m.memo[index] = m.stack[len(m.stack)-1]
	return nil
}

func (m *machine) tuple(op byte) error {
	if op == opTuple {
		items, err := m.popMark()
		if err != nil {
			return err
		}
		return m.push(append(Tuple{}, items...))
	}
	n := int(op-opTuple1) + 1
	if len(m.stack)-m.floor() < n {
		return errors.New("the stack is empty")
	}
	items := append(Tuple{}, m.stack[len(m.stack)-n:]...)
	m.stack = m.stack[:len(m.stack)-n]
	return m.push(items)
}

// operands takes the arguments of a container instruction: one or two values, or those above the mark.
func (m *machine) operands(single bool, n int) ([]any, error) {
	if !single {
		return m.popMark()
	}
	if len(m.stack)-m.floor() < n {
		return nil, errors.New("the stack is empty")
	}
	items := m.stack[len(m.stack)-n:]
	m.stack = m.stack[:len(m.stack)-n]
	return items, nil
}

// top returns the value on top of the stack, or nil.
func (m *machine) top() any {
	if len(m.stack) == m.floor() {
		return nil
	}
	return m.stack[len(m.stack)-1]
}

func (m *machine) extend(op byte) error {
	items, err := m.operands(op == opAppend, 1)
	if err != nil {
		return err
	}
	l, ok := m.top().(*list)
	if !ok {
		return fmt.Errorf("values are appended to a %s", kindOf(m.top()))
	}
	l.items = append(l.items, items...)
	return nil
}

func (m *machine) setItems(op byte) error {
	items, err := m.operands(op == opSetItem, 2)
	if err != nil {
		return err
	}
	d, ok := m.top().(*Dict)
	if !ok || len(items)%2 != 0 {
		return fmt.Errorf("%d keys and values are set in a %s", len(items), kindOf(m.top()))
	}
	for i := 0; i < len(items); i += 2 {
		if err := d.set(items[i], items[i+1]); err != nil {
			return err
		}
	}
	return nil
}
