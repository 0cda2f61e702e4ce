package arrowio

import (
	"encoding/binary"
	"errors"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/ipc"
)

// schemaMessage returns the library's encoding of a schema as a Message flatbuffer.
func schemaMessage(schema *arrow.Schema) ([]byte, error) {
	var p firstPayload
	if err := ipc.NewWriterWithPayloadWriter(&p, ipc.WithSchema(schema)).Close(); err != nil {
		return nil, err
	}
	if p.meta == nil {
		return nil, errors.New("the library wrote no schema")
	}
	return p.meta, nil
}

// firstPayload keeps the metadata of the first message that the library's writer hands over: the schema.
type firstPayload struct{ meta []byte }

func (p *firstPayload) Start() error { return nil }

func (p *firstPayload) WritePayload(payload ipc.Payload) error {
	if p.meta == nil {
		buf := payload.Meta()
		defer buf.Release()
		p.meta = append([]byte{}, buf.Bytes()...)
	}
	return nil
}

func (p *firstPayload) Close() error { return nil }

// encodeBatch builds the Message flatbuffer of a record batch (Message.fbs). Positions of the two tables are constant;
// nodes are lengths with no nulls, buffers lie in the body one after the other, each padded.
func encodeBatch(rows int, nodes []int, buffers [][]byte) []byte {
	const messageAt, batchVtable, batchAt, nodesAt = 16, 40, 52, 76
	buffersAt := nodesAt + 8 + 16*len(nodes)
	b := make([]byte, buffersAt+4+16*len(buffers))
	le := binary.LittleEndian
	le.PutUint32(b, messageAt)
	putVtable(b[4:], 24, 4, 6, 8, 16)
	le.PutUint32(b[messageAt:], messageAt-4)
	le.PutUint16(b[messageAt+4:], metadataV5)
	b[messageAt+6] = headerRecordBatch
	le.PutUint32(b[messageAt+8:], batchAt-(messageAt+8))
	putVtable(b[batchVtable:], 20, 4, 12, 16)
	le.PutUint32(b[batchAt:], batchAt-batchVtable)
	le.PutUint64(b[batchAt+4:], uint64(rows))
	le.PutUint32(b[batchAt+12:], nodesAt-(batchAt+12))
	le.PutUint32(b[batchAt+16:], uint32(buffersAt-(batchAt+16)))
	le.PutUint32(b[nodesAt:], uint32(len(nodes)))
	for i, n := range nodes {
		le.PutUint64(b[nodesAt+4+16*i:], uint64(n))
	}
	le.PutUint32(b[buffersAt:], uint32(len(buffers)))
	body := 0
	for i, buf := range buffers {
		le.PutUint64(b[buffersAt+4+16*i:], uint64(body))
		le.PutUint64(b[buffersAt+12+16*i:], uint64(len(buf)))
		body += padded(len(buf))
	}
	le.PutUint64(b[messageAt+16:], uint64(body))
	return b
}

// encodeFooter builds the Footer flatbuffer (File.fbs): its table, the blocks, and the schema message's bytes appended
// whole, since flatbuffer offsets are relative and the footer can point into it.
func encodeFooter(schema []byte, blocks []block) ([]byte, error) {
	m, err := decodeMessage(schema)
	if err != nil {
		return nil, err
	}
	const footerAt, dictsAt, blocksAt = 16, 36, 44
	schemaAt := blocksAt + 4 + 24*len(blocks) // 8-aligned
	b := make([]byte, schemaAt, schemaAt+len(schema))
	le := binary.LittleEndian
	le.PutUint32(b, footerAt)
	putVtable(b[4:], 20, 4, 8, 12, 16)
	le.PutUint32(b[footerAt:], footerAt-4)
	le.PutUint16(b[footerAt+4:], metadataV5)
	le.PutUint32(b[footerAt+8:], uint32(schemaAt+m.header-(footerAt+8)))
	le.PutUint32(b[footerAt+12:], dictsAt-(footerAt+12))
	le.PutUint32(b[footerAt+16:], blocksAt-(footerAt+16))
	le.PutUint32(b[blocksAt:], uint32(len(blocks)))
	for i, k := range blocks {
		at := b[blocksAt+4+24*i:]
		le.PutUint64(at, uint64(k.offset))
		le.PutUint32(at[8:], uint32(k.meta))
		le.PutUint64(at[16:], uint64(k.body))
	}
	return append(b, schema...), nil
}

// putVtable writes a vtable: its own size, the table's, and where in the table each field lies.
func putVtable(b []byte, table uint16, fields ...uint16) {
	le := binary.LittleEndian
	le.PutUint16(b, uint16(4+2*len(fields)))
	le.PutUint16(b[2:], table)
	for i, f := range fields {
		le.PutUint16(b[4+2*i:], f)
	}
}
