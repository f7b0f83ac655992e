/* SPDX-License-Identifier: MIT */
/*
 * The objects that conversion has made, by device and inode.
 *
 * Views are not listed: the program moves, splits and unmaps them without asking us, so whoever
 * needs them looks for the objects in /proc/self/maps. An object of which nothing is mapped any
 * more is forgotten when room is needed. The list is part of our data and not of the world: a
 * forked child needs it. It is read and written by the holder of the world's lock.
 */
#include "emul/converted.h"

#include <errno.h>

#include "emul/sys.h"

_Atomic unsigned int rm_converted_objects;

static struct rm_converted objects[RM_CONVERTED_MAX];

struct rm_converted *rm_converted_find(const struct rm_vma *vma)
{
	const unsigned int n = atomic_load(&rm_converted_objects);

	if (!vma->shared)
		return NULL;
	for (unsigned int i = 0; i < n; i++)
		if (objects[i].inode == vma->inode && objects[i].dev_major == vma->dev_major &&
			objects[i].dev_minor == vma->dev_minor)
			return &objects[i];
	return NULL;
}

static void forget(unsigned int i)
{
	const unsigned int last = atomic_load(&rm_converted_objects) - 1;

	objects[i] = objects[last];
	atomic_store(&rm_converted_objects, last);
}

/* Forgets those that are not mapped. Without /proc nothing is known, and all stay. */
static void sweep(struct rm_world *world)
{
	struct rm_converted *object;
	struct rm_vma vma;
	int r = rm_maps_open(&world->maps, false, 0);

	if (r)
		return;
	for (unsigned int i = 0; i < atomic_load(&rm_converted_objects); i++)
		objects[i].mapped = false;
	while ((r = rm_maps_next(&world->maps, &vma)) > 0) {
		object = rm_converted_find(&vma);
		if (object)
			object->mapped = true;
	}
	rm_maps_close(&world->maps);
	for (unsigned int i = atomic_load(&rm_converted_objects); !r && i--;)
		if (!objects[i].mapped && !objects[i].snapshot)
			forget(i);
}

int rm_converted_add(struct rm_world *world, const struct rm_vma *vma)
{
	unsigned int n;

	if (rm_converted_find(vma))
		return 0;
	if (atomic_load(&rm_converted_objects) == RM_CONVERTED_MAX)
		sweep(world);
	n = atomic_load(&rm_converted_objects);
	if (n == RM_CONVERTED_MAX)
		return -ENOMEM;
	objects[n] = (struct rm_converted){
		.inode = vma->inode, .dev_major = vma->dev_major, .dev_minor = vma->dev_minor};
	atomic_store(&rm_converted_objects, n + 1);
	return 0;
}

unsigned int rm_converted_list(struct rm_converted **first)
{
	*first = objects;
	return atomic_load(&rm_converted_objects);
}

void rm_converted_replace(void)
{
	for (unsigned int i = atomic_load(&rm_converted_objects); i--;) {
		if (!objects[i].snapshot) {
			forget(i);
			continue;
		}
		objects[i].inode = objects[i].copy_inode;
		objects[i].snapshot = 0;
	}
}

bool rm_converted_at(uintptr_t addr)
{
	struct rm_entry entry;
	struct rm_vma vma;
	bool found;

	if (!rm_converted_any() || rm_world_enter(&entry))
		return false;
	found = rm_maps_find(&entry.world->maps, false, addr, &vma) > 0 && rm_converted_find(&vma);
	rm_world_leave(&entry);
	return found;
}
