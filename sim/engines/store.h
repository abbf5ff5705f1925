// What Verilator's waveform writer asks of the libraries lz4 and zlib, without either of them, whose headers
// many a machine does not have: data in the formats of both, stored and not compressed.

#ifndef BLOCKDOT_STORE_H
#define BLOCKDOT_STORE_H

#include <cstdint>
#include <cstring>

// https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md: one sequence of literals alone.

inline int LZ4_compressBound(int size) { return size + size / 255 + 16; }

inline int LZ4_compress_default(const char *from, char *to, int size, int room) {
    if (room < LZ4_compressBound(size)) return 0;
    char *const start = to;
    *to++ = char((size < 15 ? size : 15) << 4);
    if (size >= 15) {
        int left = size - 15;
        for (; left >= 255; left -= 255) *to++ = char(255);
        *to++ = char(left);
    }
    std::memcpy(to, from, size);
    return int(to - start) + size;
}

// RFC 1950 and 1951: blocks that are stored, each of at most 65535 bytes.

typedef unsigned char Bytef;
typedef unsigned long uLong;
typedef unsigned long uLongf;

#define Z_OK 0
#define Z_BUF_ERROR (-5)

inline uLong compressBound(uLong size) { return size + 5 * (size / 65535 + 1) + 6; }

inline int compress2(Bytef *to, uLongf *room, const Bytef *from, uLong size, int) {
    if (*room < compressBound(size)) return Z_BUF_ERROR;
    Bytef *const start = to;
    *to++ = 0x78;
    *to++ = 0x01;
    uint32_t low = 1, high = 0;  // Adler-32
    uLong left = size;
    do {
        const uLong part = left < 65535 ? left : 65535;
        left -= part;
        *to++ = left == 0;
        *to++ = Bytef(part);
        *to++ = Bytef(part >> 8);
        *to++ = Bytef(~part);
        *to++ = Bytef(~part >> 8);
        for (uLong k = 0; k < part; k++) {
            low = (low + (*to++ = *from++)) % 65521;
            high = (high + low) % 65521;
        }
    } while (left);
    for (const uint32_t half : {high, low}) {
        *to++ = Bytef(half >> 8);
        *to++ = Bytef(half);
    }
    *room = uLongf(to - start);
    return Z_OK;
}

#endif
