/*
 * Queues as linked lists of indices.
 */
#include <bench/blocks/queue.h>

#include <base/base.h>

void bench_queue_init(struct bench_queue *queue, struct bench_node *node, uint8_t place)
{
    Q_ASSERT(place > 0);
    *queue = (struct bench_queue){
        .node = node, .newest = BENCH_QUEUE_END, .oldest = BENCH_QUEUE_END, .place = place};
}

void bench_queue_add(struct bench_queue *queue, uint32_t key)
{
    struct bench_node *node = &queue->node[key];

    Q_ASSERT(node->place == 0);
    node->place = queue->place;
    node->newer = BENCH_QUEUE_END;
    node->older = queue->newest;
    if (queue->newest == BENCH_QUEUE_END) {
        queue->oldest = key;
    } else {
        queue->node[queue->newest].newer = key;
    }
    queue->newest = key;
    queue->bytes += node->bytes;
}

void bench_queue_remove(struct bench_queue *queue, uint32_t key)
{
    struct bench_node *node = &queue->node[key];

    Q_ASSERT(node->place == queue->place && queue->bytes >= node->bytes);
    if (node->newer == BENCH_QUEUE_END) {
        queue->newest = node->older;
    } else {
        queue->node[node->newer].older = node->older;
    }
    if (node->older == BENCH_QUEUE_END) {
        queue->oldest = node->newer;
    } else {
        queue->node[node->older].newer = node->newer;
    }
    node->place = 0;
    queue->bytes -= node->bytes;
}

uint32_t bench_queue_take_oldest(struct bench_queue *queue)
{
    uint32_t key = queue->oldest;

    Q_ASSERT(key != BENCH_QUEUE_END);
    bench_queue_remove(queue, key);
    return key;
}
