// SPDX-License-Identifier: MIT
// Makes garbage for a fraction of a second, and keeps some of it: a JVM with a small heap collects again and again.
// whole.c runs it from its source, so that the compiler inside the JVM works as well.
import java.util.ArrayDeque;

final class Garbage {
	public static void main(String[] args) {
		ArrayDeque<byte[]> kept = new ArrayDeque<>();
		long sum = 0;

		for (int i = 0; i < 100_000; i++) {
			byte[] made = new byte[4096];
			made[i % made.length] = (byte) i;
			kept.addLast(made);
			if (kept.size() > 4000)
				sum += kept.removeFirst()[i % 4096];
		}
		System.out.println(sum + kept.size());
	}
}
