// Runs LANES units side by side, each over a stimulus of its own, and holds each to the stream rules. Compiled
// behind stream.h and the unit's bits as CXXRTL writes them, which are compiled against lanes.h, with
//
//     UNIT               class of the unit, such as p_blockdot__e2m1__ue5m3__n16__fp32__s3
//     UNIT_STAGES        0 for a combinational unit, which has no streams
//     UNIT_ACCUMULATES   whether there are i_first and i_last
//     RESULT_WORDS       32-bit words of a result
//     ROW_WORDS          32-bit words of an input, its flags included
//     LOAD_PORTS         for each data port, `LOAD(bits)` with the addresses of its bits in a unit called `unit`
//     STORE_PORTS        for each result port, `STORE(bits)`

#include <algorithm>
#include <memory>

namespace {

using cxxrtl_design::UNIT;
using cxxrtl_yosys::lane_word;

constexpr int64_t GROUPS = LANES / 32;

lane_word *bit_of(cxxrtl_yosys::value<1> &port) { return &port.lanes; }
lane_word *bit_of(cxxrtl_yosys::wire<1> &port) { return &port.curr.lanes; }

// 32 words of 32 lanes each, GROUPS times side by side. Word i of group g holds number 32 g + i before, and
// bit i of numbers 32 g to 32 g + 31 after; twice is there and back (Warren, Hacker's Delight, 7-3).
void transpose(lane_word (&words)[32]) {
    uint32_t mask = 0xFFFF;
    for (int distance = 16; distance; distance >>= 1, mask ^= mask << distance) {
        for (int k = 0; k < 32; k = (k + distance + 1) & ~distance) {
            const lane_word swapped = ((words[k] >> distance) ^ words[k + distance]) & mask;
            words[k + distance] ^= swapped;
            words[k] ^= swapped << distance;
        }
    }
}

bool lane_of(const lane_word &word, int64_t lane) { return word[lane / 32] >> (lane % 32) & 1; }

void set_lane(lane_word &word, int64_t lane, bool bit) { word[lane / 32] |= uint32_t(bit) << (lane % 32); }

class Runner {
    UNIT unit;
    Job *jobs;
    int64_t count;
    int64_t vectors[LANES];
    lane_word inverted;

    // The 32-bit words of a row, transposed one after another.
    template <size_t Bits>
    void load(lane_word *const (&port)[Bits], lane_word (*&words)[32]) {
        for (size_t k = 0; k < Bits; k++) {
            if (k % 32 == 0) transpose(*words);
            *port[k] = (*words)[k % 32] ^ inverted;
            if (k % 32 == 31 || k == Bits - 1) words++;
        }
    }

    void load_payload() {
        lane_word rows[ROW_WORDS][32];
        uint32_t *const numbers = reinterpret_cast<uint32_t *>(rows);
        for (int64_t lane = 0; lane < count; lane++) {
            const uint32_t *const row = jobs[lane].inputs + vectors[lane] * ROW_WORDS;
            for (int64_t k = 0; k < ROW_WORDS; k++)
                numbers[k * LANES + lane % 32 * GROUPS + lane / 32] = row[k];
        }
        lane_word(*words)[32] = rows;
#define LOAD(...)                                   \
    {                                               \
        lane_word *const port[] = {__VA_ARGS__};    \
        load(port, words);                          \
    }
        LOAD_PORTS
#if UNIT_ACCUMULATES
        lane_word *const flags[] = {bit_of(unit.p_i__first), bit_of(unit.p_i__last)};
        load(flags, words);
#endif
    }

    // Takes the bits of a port into words that are transposed one after another.
    template <size_t Bits>
    void store(lane_word *const (&port)[Bits], lane_word (*&words)[32]) {
        for (size_t k = 0; k < (Bits + 31) / 32 * 32; k++) {
            (*words)[k % 32] = k < Bits ? *port[k] : lane_word{};
            if (k % 32 == 31) transpose(*words++);
        }
    }

    // Leaves word k of the result of lane 32 g + i in word i of group g of results[k].
    void store_results(lane_word (&results)[RESULT_WORDS][32]) {
        lane_word(*words)[32] = results;
#define STORE(...)                                  \
    {                                               \
        lane_word *const port[] = {__VA_ARGS__};    \
        store(port, words);                         \
    }
        STORE_PORTS
    }

    // Takes the result of a lane out of all lanes'.
    static void take(const lane_word (&results)[RESULT_WORDS][32], int64_t lane, uint32_t *result) {
        for (int64_t k = 0; k < RESULT_WORDS; k++) result[k] = results[k][lane % 32][lane / 32];
    }

#if UNIT_STAGES
    // The ports then show what they show before the rising edge, and the registers hold what they will
    // after it once it is committed: see driver.cc. Single bits have no false loops, so one pass settles them.
    void eval() {
        unit.p_clk = cxxrtl_yosys::value<1>(1u);
        unit.prev_p_clk = cxxrtl_yosys::value<1>(0u);
        unit.eval();
    }
#endif

  public:
    Runner(Job *jobs, int64_t count) : jobs(jobs), count(count) {}

#if UNIT_STAGES
    void run() {
        std::fill(vectors, vectors + LANES, 0);
        inverted = ~lane_word{};
        load_payload();
        *bit_of(unit.p_i__valid) = *bit_of(unit.p_o__ready) = lane_word{};
        *bit_of(unit.p_rst) = ~lane_word{};
        for (int k = 0; k < 2; k++) {
            eval();
            unit.commit();
        }
        *bit_of(unit.p_rst) = lane_word{};

        std::unique_ptr<std::unique_ptr<StreamBench>[]> benches(new std::unique_ptr<StreamBench>[count]);
        for (int64_t lane = 0; lane < count; lane++) benches[lane].reset(new StreamBench(jobs[lane]));
        for (int64_t left = count; left;) {
            lane_word valid = {}, ready = {};
            inverted = lane_word{};
            for (int64_t lane = 0; lane < count; lane++) {
                if (!benches[lane]) continue;
                const Pins pins = benches[lane]->drive();
                vectors[lane] = pins.vector;
                set_lane(inverted, lane, pins.inverted);
                set_lane(valid, lane, pins.valid);
                set_lane(ready, lane, pins.ready);
            }
            load_payload();
            *bit_of(unit.p_i__valid) = valid;
            *bit_of(unit.p_o__ready) = ready;
            eval();
            const lane_word i_ready = *bit_of(unit.p_i__ready), o_valid = *bit_of(unit.p_o__valid);
            lane_word results[RESULT_WORDS][32];
            store_results(results);
            unit.commit();
            for (int64_t lane = 0; lane < count; lane++) {
                if (!benches[lane]) continue;
                uint32_t result[RESULT_WORDS];
                take(results, lane, result);
                if (benches[lane]->observe(lane_of(i_ready, lane), lane_of(o_valid, lane), result)) continue;
                benches[lane].reset();
                left--;
            }
        }
    }
#else
    void run() {
        int64_t longest = 0;
        for (int64_t lane = 0; lane < count; lane++) {
            Job &job = jobs[lane];
            longest = std::max(longest, job.vectors);
            job.result_count = job.input_count = job.cycles = job.vectors;
            job.outcome = KEPT;
        }
        inverted = lane_word{};
        for (int64_t vector = 0; vector < longest; vector++) {
            for (int64_t lane = 0; lane < count; lane++)
                vectors[lane] = std::min(vector, jobs[lane].vectors - 1);
            load_payload();
            unit.eval();
            lane_word results[RESULT_WORDS][32];
            store_results(results);
            for (int64_t lane = 0; lane < count; lane++) {
                Job &job = jobs[lane];
                if (vector >= job.vectors) continue;
                take(results, lane, job.results + vector * RESULT_WORDS);
                job.result_cycles[vector] = job.input_cycles[vector] = vector;
            }
        }
    }
#endif
};

}  // namespace

extern "C" void blockdot_run_lanes(Job *jobs, int64_t count) {
    for (int64_t start = 0; start < count; start += LANES)
        std::make_unique<Runner>(jobs + start, std::min<int64_t>(LANES, count - start))->run();
}
