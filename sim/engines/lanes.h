// Stands in for CXXRTL's runtime where every wire of the design has one bit: a value is that bit of each of
// LANES units that run side by side. What write_cxxrtl emits computes with its values by name, so the same
// C++ then simulates as many units at once as a machine word has bits, a few times over.

#ifndef BLOCKDOT_LANES_H
#define BLOCKDOT_LANES_H

#include <cstddef>
#include <cstdint>

#define LANES 512

namespace cxxrtl_yosys {

typedef uint32_t lane_word __attribute__((vector_size(LANES / 8), may_alias));

template <size_t Bits>
struct value;

template <>
struct value<1> {
    static constexpr size_t bits = 1;
    lane_word lanes;

    value() = default;
    explicit value(uint32_t bit) : lanes(lane_word{} - bit) {}
    explicit value(const lane_word &lanes) : lanes(lanes) {}

    // Asked of the clock alone, which all units share.
    template <size_t>
    const value &slice() const {
        return *this;
    }
    bool val() const { return lanes[0] & 1; }
};

template <size_t Bits>
struct wire;

template <>
struct wire<1> {
    value<1> curr, next;

    wire() : curr(0u), next(0u) {}
    explicit wire(uint32_t bit) : curr(bit), next(bit) {}
    explicit wire(const value<1> &bit) : curr(bit), next(bit) {}

    template <class Observer>
    bool commit(Observer &) {
        curr = next;
        return false;
    }
};

template <size_t>
inline value<1> and_uu(const value<1> &a, const value<1> &b) {
    return value<1>(a.lanes & b.lanes);
}
template <size_t>
inline value<1> or_uu(const value<1> &a, const value<1> &b) {
    return value<1>(a.lanes | b.lanes);
}
template <size_t>
inline value<1> xor_uu(const value<1> &a, const value<1> &b) {
    return value<1>(a.lanes ^ b.lanes);
}
template <size_t>
inline value<1> not_u(const value<1> &a) {
    return value<1>(~a.lanes);
}

struct observer {};
struct performer {};
struct interior {};

struct module {
    virtual ~module() {}
    virtual void reset() = 0;
    virtual bool eval(performer *performer = nullptr) = 0;
    virtual bool commit() = 0;
};

}  // namespace cxxrtl_yosys

#endif
