// Runs one unit over a whole stimulus and holds it to the stream rules. Compiled behind stream.h and the
// CXXRTL source of the unit, with
//
//     UNIT               class of the unit, such as p_blockdot__e2m1__ue5m3__n16__fp32__s3
//     UNIT_STAGES        0 for a combinational unit, which has no streams
//     UNIT_ACCUMULATES   whether there are i_first and i_last
//     RESULT_WORDS       32-bit words of a result
//     LOAD_PORTS         loads each data port of a unit called `unit` from `words`, `inverted` or not
//     STORE_PORTS        stores each result port to `words`

#include <memory>

namespace {

using cxxrtl_design::UNIT;

// Returns the words behind those of the port.
template <size_t Bits>
const uint32_t *load(cxxrtl::value<Bits> &port, const uint32_t *words, bool inverted) {
    constexpr size_t chunks = cxxrtl::value<Bits>::chunks;
    const uint32_t invert = inverted ? ~uint32_t(0) : 0;
    for (size_t k = 0; k < chunks; k++) port.data[k] = words[k] ^ invert;
    port.data[chunks - 1] &= cxxrtl::value<Bits>::msb_mask;
    return words + chunks;
}

// Returns the words behind those of the port. A result leaves a unit as a plain value, or as one that a
// register keeps.
template <size_t Bits>
uint32_t *store(const cxxrtl::value<Bits> &port, uint32_t *words) {
    return std::copy_n(port.data, cxxrtl::value<Bits>::chunks, words);
}

template <size_t Bits>
uint32_t *store(const cxxrtl::wire<Bits> &port, uint32_t *words) {
    return store(port.curr, words);
}

class Runner {
    UNIT unit;
    Job &job;
    bool one_pass = false;

    void load_payload(int64_t vector, bool inverted) {
        const uint32_t *words = job.inputs + vector * job.row_words;
        LOAD_PORTS
#if UNIT_ACCUMULATES
        unit.p_i__first.template set<uint8_t>((*words & 1) ^ inverted);
        unit.p_i__last.template set<uint8_t>((*words >> 1 & 1) ^ inverted);
#endif
    }

    void store_results(uint32_t *words) {
        STORE_PORTS
    }

#if UNIT_STAGES
    // After this, the ports show what they show before the rising edge of this cycle.
    void before_edge() {
        if (one_pass) {
            // eval() computes the logic from the old registers and the new inputs, and what the
            // registers will hold; they keep the old values until commit(). So one pass does for both.
            unit.p_clk.template set<bool>(true);
            unit.eval();
        } else {
            unit.p_clk.template set<bool>(false);
            unit.step();
        }
    }

    void after_edge() {
        if (one_pass) {
            unit.commit();
            // Nothing is clocked by the falling edge: let it have happened.
            unit.p_clk.template set<bool>(false);
            unit.prev_p_clk = unit.p_clk;
        } else {
            unit.p_clk.template set<bool>(true);
            unit.step();
        }
    }
#endif

  public:
    explicit Runner(Job &job) : job(job) {}

#if UNIT_STAGES
    void run() {
        unit.p_i__valid.template set<bool>(false);
        unit.p_o__ready.template set<bool>(false);
        unit.p_clk.template set<bool>(false);
        load_payload(0, true);
        // eval() says whether one pass over the logic settles it; it does unless the logic has a loop
        // at the level of whole wires.
        one_pass = unit.eval();
        unit.commit();
        unit.p_rst.template set<bool>(true);
        for (int k = 0; k < 2; k++) {
            before_edge();
            after_edge();
        }
        unit.p_rst.template set<bool>(false);

        StreamBench bench(job);
        int64_t loaded = -1;
        bool loaded_inverted = false;
        for (bool on = true; on;) {
            const Pins pins = bench.drive();
            if (pins.vector != loaded || pins.inverted != loaded_inverted) {
                load_payload(pins.vector, pins.inverted);
                loaded = pins.vector;
                loaded_inverted = pins.inverted;
            }
            unit.p_i__valid.template set<bool>(pins.valid);
            unit.p_o__ready.template set<bool>(pins.ready);
            before_edge();
            const bool ready = unit.p_i__ready.template get<bool>();
            const bool valid = unit.p_o__valid.template get<bool>();
            uint32_t result[RESULT_WORDS];
            store_results(result);
            after_edge();
            on = bench.observe(ready, valid, result);
        }
    }
#else
    void run() {
        for (int64_t vector = 0; vector < job.vectors; vector++) {
            load_payload(vector, false);
            unit.step();
            store_results(job.results + vector * RESULT_WORDS);
            job.result_cycles[vector] = job.input_cycles[vector] = vector;
        }
        job.result_count = job.input_count = job.cycles = job.vectors;
        job.outcome = KEPT;
    }
#endif
};

}  // namespace

extern "C" void blockdot_run(Job *job) {
    // Two units of 128 elements and many registers would not fit a small stack.
    std::make_unique<Runner>(*job)->run();
}
